//! Whether certificates are revoked, for `check`: lists from files or the network, and responders. Offline unless
//! an option says otherwise.

use super::Program;
use super::keys::public;
use crate::error::Result;
use crate::place::StoreArg;
use formats::asn1::cert_fields;
use formats::issue::Crl;
use formats::jobs::revocation::{OcspRequest, Status, by_crl, ocsp_address};
use formats::model::Item;
use formats::place::Source;
use formats::{Ctx, Error, Kind, NoSecrets, Options};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longer answers are nobody's.
const MOST: u64 = 64 << 20;

/// What is asked, and what was answered already.
pub struct Revocation {
    lists: Vec<Vec<u8>>,
    ocsp: bool,
    agent: ureq::Agent,
    now: i64,
    /// By certificate and issuer: a certificate stands in many stores.
    known: Mutex<HashMap<Pair, Status>>,
}

/// A certificate and its issuer.
type Pair = (Vec<u8>, Vec<u8>);

impl Revocation {
    /// Reads or fetches the lists. `timeout` in milliseconds bounds each answer from the network.
    pub fn new(program: &Program, lists: &[String], ocsp: bool, timeout: i64) -> Result<Self> {
        let timeout = Duration::from_millis(u64::try_from(timeout).unwrap_or(0).max(1));
        let agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).build().into();
        let mut it =
            Revocation { lists: Vec::new(), ocsp, agent, now: program.now()?, known: Mutex::default() };
        for place in lists {
            let list = it.list(program, place)?;
            it.lists.extend(list);
        }
        Ok(it)
    }

    /// Whether anything is to be asked at all.
    pub fn is_asked(&self) -> bool {
        self.ocsp || !self.lists.is_empty()
    }

    /// The lists of a file or an address.
    fn list(&self, program: &Program, place: &str) -> Result<Vec<Vec<u8>>> {
        let store = if place.contains("://") {
            let bytes = self.fetch(place, None).map_err(|e| e.in_file(Path::new(place)))?;
            let session = program.session()?;
            let ctx = Ctx { secrets: &NoSecrets, options: &Options::default(), session: &session };
            let source = Source::memory(place, bytes);
            formats::jobs::load(&formats::jobs::Input { source: &source, format: None, ctx })?.store
        } else {
            public(program, &StoreArg::parse_existing(&program.ui, OsStr::new(place)))?
        };
        let lists: Vec<Vec<u8>> = store
            .entries
            .iter()
            .filter_map(|e| if let Item::Crl(list) = &e.item { Some(list.to_vec()) } else { None })
            .collect();
        if lists.is_empty() {
            return Err(Error::malformed("holds no revocation list").in_file(Path::new(place)).into());
        }
        for list in &lists {
            Crl::read(list).map_err(|e| e.in_file(Path::new(place)))?;
        }
        Ok(lists)
    }

    /// Gets an address, or posts a question to it.
    fn fetch(&self, address: &str, question: Option<&[u8]>) -> formats::Result<Vec<u8>> {
        if !address.starts_with("http://") {
            return Err(Error::unsupported("only addresses that begin with http:// are asked")
                .hint("lists and answers are signed; fetch others yourself, and give the file"));
        }
        let failed = |e: ureq::Error| Error::new(Kind::Read, "no answer").caused_by(e);
        let mut answer = match question {
            None => self.agent.get(address).call(),
            Some(question) => {
                self.agent.post(address).header("content-type", "application/ocsp-request").send(question)
            }
        }
        .map_err(failed)?;
        answer.body_mut().with_config().limit(MOST).read_to_vec().map_err(failed)
    }

    /// What is known of a certificate.
    pub fn of(&self, certificate: &[u8], issuer: &[u8]) -> Option<Status> {
        let name = (certificate.to_vec(), issuer.to_vec());
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Some(known.clone());
        }
        let status = self.ask(certificate, issuer);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name, status.clone());
        Some(status)
    }

    fn ask(&self, certificate: &[u8], issuer: &[u8]) -> Status {
        let issued_by = cert_fields(certificate).map(|f| f.issuer).unwrap_or_default();
        let own = self.lists.iter().filter(|l| Crl::read(l).is_ok_and(|l| l.issuer == issued_by));
        let said: Vec<Status> =
            own.map(|l| by_crl(certificate, issuer, l, self.now).unwrap_or_else(unknown)).collect();
        let sure = |s: &&Status| !matches!(s, Status::Unknown(_));
        let revoked = |s: &&Status| matches!(s, Status::Revoked { .. });
        if let Some(status) = said.iter().find(revoked).or_else(|| said.iter().find(sure)) {
            return status.clone();
        }
        match (self.ocsp, said.first()) {
            (true, _) => self.responder(certificate, issuer).unwrap_or_else(unknown),
            (false, Some(status)) => status.clone(),
            (false, None) => Status::Unknown("no list that was given is of its issuer".to_owned()),
        }
    }

    fn responder(&self, certificate: &[u8], issuer: &[u8]) -> formats::Result<Status> {
        let Some(address) = ocsp_address(certificate) else {
            return Ok(Status::Unknown("it names no responder".to_owned()));
        };
        let question = OcspRequest::new(certificate, issuer)?;
        let answer = self.fetch(&address, Some(&question.der)).map_err(|e| e.in_file(Path::new(&address)))?;
        question.read(&answer, issuer, self.now)
    }
}

fn unknown(e: Error) -> Status {
    Status::Unknown(e.to_string())
}
