use super::*;
use crate::context::{NoSecrets, OnePassword, Options, Session};
