//! What a certificate's trust becomes where a format can say nothing of it.

use crate::asn1::cert_fields;
use crate::model::{Entry, Item, Level, Loss, LossKind};

/// The loss of writing a certificate plainly into `what`, if there is one. Whoever reads it back takes a
/// CA for an anchor and a leaf for a peer, for every purpose: where the source says less for one of them,
/// that is trust raised.
pub(crate) fn trust_loss(entry: &Entry, what: &str) -> Option<Loss> {
    let trust = entry.trust.as_ref()?;
    let Item::Cert(cert) = &entry.item else { return None };
    let is_ca = cert_fields(cert).is_ok_and(|f| f.is_ca());
    // An anchor that may not issue vouches for nothing but itself: a leaf that is one is a peer.
    let (becomes, words) = if is_ca { (Level::Anchor, "an anchor") } else { (Level::Peer, "a peer") };
    let mut said = trust.levels.iter().chain(trust.usages.iter().map(|(_, level)| level));
    said.any(|level| rank(*level) < rank(becomes)).then(|| {
        let text =
            format!("{what} can't say how far it is trusted; read back it is {words} for every purpose");
        Loss::new(LossKind::TrustRaised, entry.label_text(), text)
    })
}

/// How much trust a level is.
fn rank(level: Level) -> u8 {
    match level {
        Level::Distrusted => 0,
        Level::Unset => 1,
        Level::Peer => 2,
        Level::Anchor => 3,
    }
}
