//! Trust: for which purposes a certificate is an anchor, a peer, or distrusted.

/// What a certificate may be relied upon for, in one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The store says nothing: usable in a chain, not the end of one.
    #[default]
    Unset,
    /// A chain may end here.
    Anchor,
    /// This very certificate is accepted, nothing below it.
    Peer,
    /// Never accepted, whatever vouches for it.
    Distrusted,
}

/// The purposes of the JSON contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// TLS servers.
    Server,
    /// TLS clients.
    Client,
    /// S/MIME, and so MQ AMS.
    Email,
    /// Code signing.
    Code,
}

impl Purpose {
    /// Every purpose, in the order of [`Trust::levels`].
    pub const ALL: [Purpose; 4] = [Purpose::Server, Purpose::Client, Purpose::Email, Purpose::Code];

    /// The word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Server => "server",
            Purpose::Client => "client",
            Purpose::Email => "email",
            Purpose::Code => "code",
        }
    }
}

/// Trust per purpose. `levels` follows [`Purpose::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Server, client, email, code.
    pub levels: [Level; 4],
    /// Purposes beyond the four: extended key usage OIDs in dotted form.
    pub usages: Vec<(String, Level)>,
}

impl Trust {
    /// The same level for every purpose: what formats with one bit say.
    pub fn all(level: Level) -> Self {
        Trust { levels: [level; 4], usages: Vec::new() }
    }

    /// The level for one purpose.
    pub fn level(&self, purpose: Purpose) -> Level {
        self.levels[purpose as usize]
    }

    /// An anchor for all four purposes and nothing else.
    pub fn is_full_anchor(&self) -> bool {
        self.levels == [Level::Anchor; 4] && self.usages.iter().all(|(_, l)| *l == Level::Anchor)
    }

    /// Any purpose for which it is distrusted.
    pub fn distrusts(&self) -> bool {
        self.levels.contains(&Level::Distrusted) || self.usages.iter().any(|(_, l)| *l == Level::Distrusted)
    }

    /// The names of the purposes at `level`, for reports.
    pub fn purposes_at(&self, level: Level) -> impl Iterator<Item = &'static str> + '_ {
        Purpose::ALL.into_iter().filter(move |p| self.level(*p) == level).map(Purpose::name)
    }
}
