use super::*;
use proptest::prelude::*;

fn parse(name: &str, text: &[u8]) -> Settings {
    Settings::parse(Path::new(name), text.to_vec())
}

fn set(name: &str, text: &str, setting: &str, value: &str) -> String {
    let mut settings = parse(name, text.as_bytes());
    settings.set(setting, OsStr::new(value)).expect("a value that can stand there");
    assert_eq!(settings.get(setting).as_deref(), Some(OsStr::new(value)));
    String::from_utf8(settings.bytes().to_vec()).expect("text")
}

const CONF: &str = "# ours\r\nCMS.Keystore  =  /home/ann/.mqs/ann \r\ncms.certificate = ann\r\n\r\n\
                    JKS.keystore=C:\\\\ams\\\\ann\r\nJKS.encrypted = yes\r\n\
                    JKS.keystore_pass = <AMS>!2!c2l4dGVlbg==!a=b!\r\nsomething else\r\n";

#[test]
fn one_value_changes_and_nothing_else() {
    let back = set("keystore.conf", CONF, "cms.keystore", "/home/ann/.mqs/gen-2/ann");
    assert_eq!(back, CONF.replace("/home/ann/.mqs/ann", "/home/ann/.mqs/gen-2/ann"));
    let back = set("keystore.conf", CONF, "jks.keystore", "D:\\é");
    assert_eq!(back, CONF.replace("C:\\\\ams\\\\ann", "D:\\\\\\u00E9"));
    assert_eq!(parse("keystore.conf", CONF.as_bytes()).get("jks.keystore"), Some("C:\\ams\\ann".into()));
}

#[test]
fn a_setting_is_added_in_the_manner_of_its_kin() {
    let back = set("keystore.conf", CONF, "jks.certificate", "ann");
    let after = "JKS.keystore_pass = <AMS>!2!c2l4dGVlbg==!a=b!\r\n";
    assert_eq!(back, CONF.replace(after, &format!("{after}JKS.certificate = ann\r\n")));
    assert_eq!(set("keystore.conf", "", "cms.keystore", "/a"), "cms.keystore = /a\n");
    assert_eq!(set("keystore.conf", "x", "cms.keystore", "/a"), "x\ncms.keystore = /a");
    assert_eq!(
        set("mqclient.ini", "TCP:\n  KeepAlive=Yes\n", "SSL:SSLKeyRepository", "/a"),
        "TCP:\n  KeepAlive=Yes\nSSL:\n   SSLKeyRepository=/a\n"
    );
    let ini = "# c\nssl:\n\tsslkeyrepository=/a\nTCP:\n\tKeepAlive=Yes";
    assert_eq!(
        set("mqclient.ini", ini, "SSL:CertificateLabel", "ann"),
        ini.replace("=/a\n", "=/a\n\tCertificateLabel=ann\n")
    );
    assert_eq!(set("mqclient.ini", "SSL:", "SSL:CertificateLabel", "a"), "SSL:\n   CertificateLabel=a");
}

#[test]
fn stanzas_and_comments_count() {
    let ini = "#SSLKeyRepository=/no\nX:\n SSLKeyRepository=/other\nSSL:\n ;SSLKeyRepository=/no\n SSLKeyRepository = a\n";
    let settings = parse("mqclient.ini", ini.as_bytes());
    assert_eq!(settings.get("SSL:SSLKeyRepository"), Some("a".into()));
    assert_eq!(parse("any", ini.as_bytes()).shape(), Shape::Ini);
    let conf = "\u{feff}cms.keystore=/a\n#cms.keystore=/no\n";
    assert_eq!(parse("keystore.conf", conf.as_bytes()).get("cms.keystore"), Some("/a".into()));
    assert_eq!(
        set("keystore.conf", conf, "cms.certificate", "l"),
        conf.replace("/a\n", "/a\ncms.certificate=l\n")
    );
}

#[test]
fn a_value_may_go_on_in_the_next_line() {
    let conf = "jks.keystore = /home/\\\n   ann/x\ncms.certificate = DOM\\\nnext = 1\n";
    let settings = parse("keystore.conf", conf.as_bytes());
    assert_eq!(settings.get("jks.keystore"), Some("/home/ann/x".into()));
    // Not so for the C client.
    assert_eq!(
        (settings.get("cms.certificate"), settings.get("next")),
        (Some("DOM\\".into()), Some("1".into()))
    );
    assert_eq!(
        set("keystore.conf", conf, "jks.keystore", "/y"),
        "jks.keystore = /y\ncms.certificate = DOM\\\nnext = 1\n"
    );
}

#[test]
fn what_cannot_stand_there_is_refused() {
    let mut settings = parse("keystore.conf", CONF.as_bytes());
    for value in ["a\nb", " a", "a ", "a\0"] {
        let error = settings.set("cms.keystore", OsStr::new(value)).expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused, "{value:?}");
    }
    assert_eq!(settings.bytes(), CONF.as_bytes());
    let mut utf16 = parse("keystore.conf", b"\xff\xfec\0m\0");
    assert_eq!(utf16.set("cms.keystore", OsStr::new("/a")).map_err(|e| e.kind()), Err(Kind::Unsupported));
    assert_eq!(settings.set("cms.certificate", OsStr::new("ann")).ok(), Some(false));
}

#[test]
fn stores_are_found_under_any_spelling() {
    let settings = parse("keystore.conf", CONF.replace("C:\\\\ams\\\\", "").as_bytes());
    let found = settings.stores(Path::new("/home/ann/.mqs"));
    let shown: Vec<_> = found.iter().map(|n| (n.setting, n.path.to_str(), n.label.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("cms.keystore", Some("/home/ann/.mqs/ann.kdb"), Some("ann")),
            ("jks.keystore", Some("/home/ann/.mqs/ann.jks"), None)
        ]
    );
}

fn pointed(name: &str, text: &str, from: &str, to: &str) -> std::result::Result<String, Kind> {
    let mut settings = parse(name, text.as_bytes());
    let done = settings.point(Path::new("/f"), Path::new(from), Path::new(to)).map_err(|e| e.kind())?;
    assert_eq!(done.is_empty(), settings.bytes() == text.as_bytes());
    Ok(String::from_utf8_lossy(settings.bytes()).into_owned())
}

#[test]
fn values_keep_their_manner() {
    let conf =
        |from: &str, to: &str| pointed("keystore.conf", "cms.keystore = /k/a\njks.keystore = j\n", from, to);
    assert_eq!(conf("/k/a.kdb", "/k/2/a.kdb"), Ok("cms.keystore = /k/2/a\njks.keystore = j\n".into()));
    assert_eq!(conf("/f/j.jks", "/f/n.jks"), Ok("cms.keystore = /k/a\njks.keystore = n\n".into()));
    assert_eq!(conf("/f/j.jks", "/g/n.p12"), Ok("cms.keystore = /k/a\njks.keystore = /g/n.p12\n".into()));
    assert_eq!(conf("/k/other.kdb", "/k/2/a.kdb"), Ok("cms.keystore = /k/a\njks.keystore = j\n".into()));
    assert_eq!(conf("/k/a.kdb", "/k/a.p12"), Err(Kind::Refused));
    let relative = |value: &str, from: &str, to: &str| {
        let text = format!("cms.keystore = {value}\n");
        pointed("keystore.conf", &text, from, to).map(|t| t.trim_end().replace("cms.keystore = ", ""))
    };
    for (value, from, to, now) in [
        ("a", "/f/a.kdb", "/f/a.kdb.gen-1/a.kdb", "a.kdb.gen-1/a"),
        ("a.kdb.gen-1/a", "/f/a.kdb.gen-1/a.kdb", "/f/a.kdb.gen-2/a.kdb", "a.kdb.gen-2/a"),
        ("a.kdb.gen-2/a", "/f/a.kdb.gen-2/a.kdb", "/f/a.kdb", "a"),
        ("k/a", "/f/k/a.kdb", "/f/k/n/a.kdb", "k/n/a"),
        ("./k/a", "/f/k/a.kdb", "/f/k/n/a.kdb", "./k/n/a"),
        ("k/a", "/f/k/a.kdb", "/f/n/a.kdb", "n/a"),
        ("k/a", "/f/k/a.kdb", "/g/a.kdb", "/g/a"),
    ] {
        assert_eq!(relative(value, from, to).as_deref(), Ok(now), "{value} to {to}");
    }
    let ini = |value: &str, to: &str| {
        let text = format!("SSL:\n SSLKeyRepository={value}\n");
        pointed("mqclient.ini", &text, "/k/a.kdb", to)
            .map(|t| t.trim_end().rsplit('=').next().map(str::to_owned))
    };
    assert_eq!(ini("/k/a", "/k/a.p12"), Ok(Some("/k/a.p12".into())));
    assert_eq!(ini("/k/a", "/k/b.kdb"), Ok(Some("/k/b".into())));
    assert_eq!(ini("/k/a.kdb", "/k/b.kdb"), Ok(Some("/k/b.kdb".into())));
}

#[test]
fn it_is_written_whole_with_the_mode_that_it_had() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keystore.conf");
    std::fs::write(&path, CONF).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("mode");
    let open = || SettingsFile::open(&path).expect("it is there");
    let done = open().save(&|_| Ok(())).expect("nothing to do");
    assert!(done.is_none() && std::fs::read_dir(folder.path()).expect("listed").count() == 1);

    let (mut one, mut two) = (open(), open());
    one.settings.set("cms.keystore", OsStr::new("/x")).expect("set");
    let done = one.save(&|_| Ok(())).expect("saved").expect("changed");
    let old = done.old.expect("an old generation");
    assert_eq!(std::fs::read_to_string(old).expect("kept"), CONF);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    assert_eq!(open().settings.get("cms.keystore"), Some("/x".into()));

    two.settings.set("cms.keystore", OsStr::new("/y")).expect("set");
    assert_eq!(two.save(&|_| Ok(())).map_err(|e| e.kind()).err(), Some(Kind::Busy));
    assert_eq!(open().settings.get("cms.keystore"), Some("/x".into()));
}

proptest! {
    #[test]
    fn any_bytes_stay_as_they_are(text in prop::collection::vec(any::<u8>(), 0..200), ini in any::<bool>()) {
        let mut settings = parse(if ini { "mqclient.ini" } else { "keystore.conf" }, &text);
        prop_assert_eq!(settings.bytes(), &text[..]);
        for name in ["cms.keystore", "jks.keystore", "SSL:SSLKeyRepository"] {
            if let Some(value) = settings.get(name) {
                prop_assert_eq!(settings.set(name, &value).unwrap_or(false), false);
            }
        }
        prop_assert_eq!(settings.bytes(), &text[..]);
    }

    /// Lines that look like the real thing, and what is set comes back; all else stays.
    #[test]
    fn set_then_get(
        parts in prop::collection::vec("(#|cms\\.keystore|JKS\\.Keystore|jks\\.key_pass|SSL|  SSLKeyRepository|x)[ :=]{0,3}[a-zA-Z0-9/\\\\=é ]{0,6}(\r\n|\n|\\\\\n)", 0..8),
        value in "[a-z/\\\\=é:#!]([a-z/\\\\=é ]{0,8}[a-z\\\\é])?",
        which in 0..4usize,
        ini in any::<bool>(),
    ) {
        let text = parts.concat();
        let file = if ini { "mqclient.ini" } else { "keystore.conf" };
        let name = ["cms.keystore", "jks.keystore", "SSL:SSLKeyRepository", "SSL:CertificateLabel"][which];
        let mut settings = parse(file, text.as_bytes());
        if (settings.shape() == Shape::Ini) != name.starts_with("SSL") {
            return Ok(());
        }
        let others: Vec<_> = ["jks.key_pass", "x", "TCP:KeepAlive"].map(|n| settings.get(n)).into();
        settings.set(name, OsStr::new(&value)).expect("a value that can stand there");
        prop_assert_eq!(settings.get(name), Some(value.clone().into()));
        let after: Vec<_> = ["jks.key_pass", "x", "TCP:KeepAlive"].map(|n| settings.get(n)).into();
        prop_assert_eq!(others, after);
        let once = settings.bytes().to_vec();
        prop_assert_eq!(settings.set(name, OsStr::new(&value)).ok(), Some(false));
        prop_assert_eq!(settings.bytes(), &once[..]);
    }
}
