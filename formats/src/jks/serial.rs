//! Java object streams, as far as a JCEKS needs them: seven classes, read and written by hand.
//!
//! A secret key stands in the store as a serialized `SealedObject` without a length before it, so the
//! next entry is found only by walking the stream; the deciphered key is a second stream. This is no
//! deserializer: a class that isn't in [`CLASSES`] is refused, nothing is instantiated, and what is read
//! are ranges of the input. The JDK's own filter (`jceks.key.serialFilter`) admits the same classes.
//!
//! Source: Java Object Serialization Specification, chapter 6 (grammar). The class descriptors are those
//! of JDK 17 and 11 (seen in their output; the version numbers of serializable classes never change).

use super::mutf8;
use crate::error::{Error, Result};
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = [0xac, 0xed, 0, 5];

const TC_NULL: u8 = 0x70;
const TC_REFERENCE: u8 = 0x71;
const TC_CLASSDESC: u8 = 0x72;
const TC_OBJECT: u8 = 0x73;
const TC_STRING: u8 = 0x74;
const TC_ARRAY: u8 = 0x75;
const TC_ENDBLOCKDATA: u8 = 0x78;
const TC_ENUM: u8 = 0x7e;
/// The number of the first handle.
const BASE_HANDLE: u32 = 0x7e_0000;
/// The class is `Serializable` and has no `writeObject` of its own.
const SC_SERIALIZABLE: u8 = 2;
/// The class is an enum.
const SC_ENUM: u8 = 0x10;

const SEALED_KEY: &str = "com.sun.crypto.provider.SealedObjectForKeyProtector";
const SEALED: &str = "javax.crypto.SealedObject";
const KEY_SPEC: &str = "javax.crypto.spec.SecretKeySpec";
const KEY_REP: &str = "java.security.KeyRep";
const BYTES: &str = "[B";

/// What may occur.
const CLASSES: [&str; 7] =
    [SEALED_KEY, SEALED, KEY_SPEC, KEY_REP, "java.security.KeyRep$Type", "java.lang.Enum", BYTES];

/// The one sealing algorithm of a JCEKS.
pub const ALGORITHM: &str = "PBEWithMD5AndTripleDES";

// More than any of the classes needs, less than could hurt.
const MAX_HANDLES: usize = 64;
const MAX_FIELDS: u16 = 16;
const MAX_DEPTH: u32 = 8;

/// A `SealedObject`: an enciphered object stream.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// DER of the cipher's parameters.
    pub parameters: &'a [u8],
    /// The enciphered stream.
    pub content: &'a [u8],
    /// The cipher's name.
    pub algorithm: &'a [u8],
}

/// A secret key in the clear.
#[derive(Debug)]
pub struct SecretKey<'a> {
    /// The algorithm's name as Java spells it.
    pub algorithm: String,
    /// The key's octets.
    pub octets: &'a [u8],
}

/// Reads the sealed object that `bytes` begin with, and its length. `base` is where they begin in the
/// file.
pub fn sealed_object(bytes: &[u8], base: u64) -> Result<(Sealed<'_>, usize)> {
    let mut stream = Stream::new(bytes, base);
    let object = stream.root()?;
    if object.class != SEALED_KEY && object.class != SEALED {
        return Err(foreign_class(object.class).at(base));
    }
    let sealed = Sealed {
        parameters: object.bytes("encodedParams").map_err(|e| e.at(base))?,
        content: object.bytes("encryptedContent").map_err(|e| e.at(base))?,
        algorithm: object.text("sealAlg").map_err(|e| e.at(base))?,
    };
    Ok((sealed, stream.pos))
}

/// Reads a deciphered secret key. Errors have no offset: these bytes stand in no file.
pub fn secret_key(bytes: &[u8]) -> Result<SecretKey<'_>> {
    let object = Stream::new(bytes, 0).root().map_err(Error::without_offset)?;
    let octets = match object.class {
        KEY_SPEC => object.bytes("key")?,
        KEY_REP => {
            if object.text("format")? != b"RAW" || object.text("type")? != b"SECRET" {
                return Err(Error::unsupported("a Java KeyRep that is no secret key in RAW format"));
            }
            object.bytes("encoded")?
        }
        other => return Err(foreign_class(other)),
    };
    let algorithm = mutf8::decode(object.text("algorithm")?)
        .ok_or_else(|| Error::malformed("the secret key's algorithm is no text"))?;
    Ok(SecretKey { algorithm: algorithm.into_owned(), octets })
}

/// Whether deciphered bytes begin like an object stream.
pub fn is_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// A sealed object as the JDK writes it. The parameters are the DER of salt and count.
pub fn put_sealed_object(parameters: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Out::new(512 + parameters.len() + content.len());
    out.put(&[TC_OBJECT]);
    out.class(SEALED_KEY, 0xcd57_ca59_e730_bb53, 0);
    out.put(&[TC_ENDBLOCKDATA]);
    out.class(SEALED, 0x3e36_3da6_c3b7_5470, 4);
    out.field(b'[', "encodedParams", Type::New("[B"));
    out.field(b'[', "encryptedContent", Type::Handle(2));
    out.field(b'L', "paramsAlg", Type::New("Ljava/lang/String;"));
    out.field(b'L', "sealAlg", Type::Handle(3));
    out.put(&[TC_ENDBLOCKDATA, TC_NULL]);
    out.byte_array_class();
    out.array(parameters);
    out.put(&[TC_ARRAY, TC_REFERENCE]);
    out.handle(5);
    out.array(content);
    out.string(ALGORITHM);
    out.string(ALGORITHM);
    std::mem::take(&mut *out.0)
}

/// A secret key in the clear, as a stream to be sealed.
pub fn put_secret_key(algorithm: &str, octets: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Out::new(256 + algorithm.len() * 2 + octets.len());
    out.put(&[TC_OBJECT]);
    out.class(KEY_SPEC, 0x5b47_0b66_e230_614d, 2);
    out.field(b'L', "algorithm", Type::New("Ljava/lang/String;"));
    out.field(b'[', "key", Type::New("[B"));
    out.put(&[TC_ENDBLOCKDATA, TC_NULL]);
    out.string(algorithm);
    out.byte_array_class();
    out.array(octets);
    out.0
}

fn foreign_class(name: &str) -> Error {
    // A hostile name fills no screen.
    let name: String = name.chars().take(200).collect();
    Error::unsupported(format!("a secret key of the Java class {name}"))
        .hint("only keys that the JDK's own providers serialize can be read")
}

/// A value of a field.
#[derive(Debug)]
enum Value<'a> {
    Null,
    /// A string, or the name of an enum's constant; modified UTF-8.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Object,
}

/// An object with the fields of all its classes.
struct Object<'a> {
    class: &'static str,
    fields: Vec<(&'a [u8], Value<'a>)>,
}

impl<'a> Object<'a> {
    fn field(&self, name: &str) -> Option<&Value<'a>> {
        self.fields.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, v)| v)
    }

    fn bytes(&self, name: &str) -> Result<&'a [u8]> {
        match self.field(name) {
            Some(Value::Bytes(b)) => Ok(b),
            _ => Err(Error::malformed(format!("the Java object has no bytes {name}"))),
        }
    }

    fn text(&self, name: &str) -> Result<&'a [u8]> {
        match self.field(name) {
            Some(Value::Text(t)) => Ok(t),
            _ => Err(Error::malformed(format!("the Java object has no text {name}"))),
        }
    }
}

/// What a stream has numbered so far.
enum Handle<'a> {
    Class(usize),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// An object or enum constant: nothing of ours refers to one.
    Other,
}

struct Class<'a> {
    name: &'static str,
    flags: u8,
    fields: Vec<&'a [u8]>,
    parent: Option<usize>,
}

struct Stream<'a> {
    bytes: &'a [u8],
    pos: usize,
    base: u64,
    depth: u32,
    handles: Vec<Handle<'a>>,
    classes: Vec<Class<'a>>,
}

impl<'a> Stream<'a> {
    fn new(bytes: &'a [u8], base: u64) -> Self {
        Stream { bytes, pos: 0, base, depth: 0, handles: Vec::new(), classes: Vec::new() }
    }

    fn error(&self, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::malformed(message).at(self.base + self.pos as u64)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let taken = rest.get(..len).ok_or_else(|| {
            self.error(format!("the Java object goes on for {len} bytes where {} are left", rest.len()))
        })?;
        self.pos += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[b]| b)
    }

    fn utf(&mut self) -> Result<&'a [u8]> {
        let len = u16::from_be_bytes(self.array()?);
        self.take(usize::from(len))
    }

    fn number(&mut self, handle: Handle<'a>) -> Result<()> {
        if self.handles.len() >= MAX_HANDLES {
            return Err(self.error("the Java object has too many parts"));
        }
        self.handles.push(handle);
        Ok(())
    }

    fn reference(&mut self) -> Result<&Handle<'a>> {
        let at = self.pos;
        let number = u32::from_be_bytes(self.array()?);
        let known = number.checked_sub(BASE_HANDLE).and_then(|n| self.handles.get(n as usize));
        known.ok_or_else(|| {
            Error::malformed("the Java object refers to a part that isn't there").at(self.base + at as u64)
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("the Java object is nested too deeply"));
        }
        self.depth += 1;
        let out = read(self);
        self.depth -= 1;
        out
    }

    /// The header and the one object of the stream.
    fn root(&mut self) -> Result<Object<'a>> {
        if self.array()? != MAGIC {
            self.pos = 0;
            return Err(self.error("no Java object stream where one is due"));
        }
        match self.byte()? {
            TC_OBJECT => self.object(),
            _ => Err(self.error("the Java object stream holds no object")),
        }
    }

    fn object(&mut self) -> Result<Object<'a>> {
        let Some(class) = self.class()? else {
            return Err(self.error("a Java object without a class"));
        };
        self.number(Handle::Other)?;
        let mut object = Object { class: self.classes[class].name, fields: Vec::new() };
        // Fields stand from the oldest ancestor down.
        let mut line = Vec::new();
        let mut next = Some(class);
        while let Some(at) = next {
            line.push(at);
            next = self.classes[at].parent;
        }
        for at in line.into_iter().rev() {
            if self.classes[at].flags != SC_SERIALIZABLE {
                return Err(self.error("a Java object that writes itself in its own way"));
            }
            for n in 0..self.classes[at].fields.len() {
                let name = self.classes[at].fields[n];
                let value = self.deeper(Self::value)?;
                object.fields.push((name, value));
            }
        }
        Ok(object)
    }

    fn value(&mut self) -> Result<Value<'a>> {
        match self.byte()? {
            TC_NULL => Ok(Value::Null),
            TC_REFERENCE => Ok(match self.reference()? {
                Handle::Text(t) => Value::Text(t),
                Handle::Bytes(b) => Value::Bytes(b),
                Handle::Class(_) | Handle::Other => Value::Object,
            }),
            TC_STRING => self.string().map(Value::Text),
            TC_ARRAY => self.byte_array().map(Value::Bytes),
            TC_ENUM => self.constant().map(Value::Text),
            TC_OBJECT => self.object().map(|_| Value::Object),
            tag => Err(self.error(format!("a Java value with the unknown tag {tag:#04x}"))),
        }
    }

    fn string(&mut self) -> Result<&'a [u8]> {
        let text = self.utf()?;
        self.number(Handle::Text(text))?;
        Ok(text)
    }

    fn byte_array(&mut self) -> Result<&'a [u8]> {
        let class = self.class()?;
        if class.map(|c| self.classes[c].name) != Some(BYTES) {
            return Err(self.error("a Java array of something else than bytes"));
        }
        let len = u32::from_be_bytes(self.array()?);
        let bytes = self.take(len as usize)?;
        self.number(Handle::Bytes(bytes))?;
        Ok(bytes)
    }

    /// The name of an enum's constant.
    fn constant(&mut self) -> Result<&'a [u8]> {
        self.class()?;
        self.number(Handle::Other)?;
        match self.byte()? {
            TC_STRING => self.string(),
            TC_REFERENCE => match self.reference()? {
                Handle::Text(t) => Ok(t),
                _ => Err(self.error("a Java enum constant without a name")),
            },
            _ => Err(self.error("a Java enum constant without a name")),
        }
    }

    /// A class, by description or reference; its place in `classes`.
    fn class(&mut self) -> Result<Option<usize>> {
        match self.byte()? {
            TC_NULL => Ok(None),
            TC_REFERENCE => match self.reference()? {
                Handle::Class(at) => Ok(Some(*at)),
                _ => Err(self.error("a Java class expected, found something else")),
            },
            TC_CLASSDESC => self.deeper(Self::description).map(Some),
            _ => Err(self.error("a Java class expected, found something else")),
        }
    }

    fn description(&mut self) -> Result<usize> {
        let at = self.base + self.pos as u64;
        let name = self.utf()?;
        let Some(name) = CLASSES.into_iter().find(|c| c.as_bytes() == name) else {
            return Err(foreign_class(&String::from_utf8_lossy(name)).at(at));
        };
        let _version: [u8; 8] = self.array()?;
        let this = self.classes.len();
        self.number(Handle::Class(this))?;
        let [flags] = self.array()?;
        let count = u16::from_be_bytes(self.array()?);
        if flags & !SC_ENUM != SC_SERIALIZABLE || count > MAX_FIELDS {
            return Err(self.error("a Java class that writes itself in its own way"));
        }
        self.classes.push(Class { name, flags, fields: Vec::new(), parent: None });
        for _ in 0..count {
            let field = self.field()?;
            self.classes[this].fields.push(field);
        }
        if self.byte()? != TC_ENDBLOCKDATA {
            return Err(self.error("a Java class with annotations"));
        }
        let parent = self.class()?;
        // A class can be named as its own ancestor, since it has its number already.
        if parent.is_some_and(|p| p <= this) {
            return Err(self.error("a Java class that descends from itself"));
        }
        self.classes[this].parent = parent;
        Ok(this)
    }

    /// A field's name. Its type is skipped: only objects and arrays occur, and their values tell.
    fn field(&mut self) -> Result<&'a [u8]> {
        let [kind] = self.array()?;
        let name = self.utf()?;
        if !matches!(kind, b'[' | b'L') {
            return Err(self.error("a Java field of a primitive type"));
        }
        match self.byte()? {
            TC_STRING => self.string().map(drop)?,
            TC_REFERENCE => self.reference().map(drop)?,
            _ => return Err(self.error("a Java field without a type")),
        }
        Ok(name)
    }
}

/// Where a field's type is written.
enum Type {
    /// Here.
    New(&'static str),
    /// Before, under this handle.
    Handle(u32),
}

/// Writes a stream into a buffer that is sized beforehand, so that no unwiped copy stays behind.
struct Out(Zeroizing<Vec<u8>>);

impl Out {
    fn new(size: usize) -> Self {
        let mut out = Out(Zeroizing::new(Vec::with_capacity(size)));
        out.put(&MAGIC);
        out
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn utf(&mut self, text: &str) {
        let text = mutf8::encode(text);
        // Names of classes, fields and algorithms: the writer has checked the one that isn't ours.
        self.put(&(text.len() as u16).to_be_bytes());
        self.put(&text);
    }

    fn class(&mut self, name: &str, version: u64, fields: u16) {
        self.put(&[TC_CLASSDESC]);
        self.utf(name);
        self.put(&version.to_be_bytes());
        self.put(&[SC_SERIALIZABLE]);
        self.put(&fields.to_be_bytes());
    }

    fn field(&mut self, kind: u8, name: &str, of: Type) {
        self.put(&[kind]);
        self.utf(name);
        match of {
            Type::New(name) => self.string(name),
            Type::Handle(n) => {
                self.put(&[TC_REFERENCE]);
                self.handle(n);
            }
        }
    }

    fn handle(&mut self, n: u32) {
        self.put(&(BASE_HANDLE + n).to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        self.put(&[TC_STRING]);
        self.utf(text);
    }

    fn byte_array_class(&mut self) {
        self.put(&[TC_ARRAY]);
        self.class(BYTES, 0xacf3_17f8_0608_54e0, 0);
        self.put(&[TC_ENDBLOCKDATA, TC_NULL]);
    }

    fn array(&mut self, bytes: &[u8]) {
        self.put(&(bytes.len() as u32).to_be_bytes());
        self.put(bytes);
    }
}
