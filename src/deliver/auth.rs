//! How a request proves who sends it: the headers that each attempt gets anew.

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::config::SecretSource;
use super::credentials::{Cache, Issued, NoCredentials};
use super::sign::{SignFault, Signer};
use super::skew::Skew;
use crate::secret::Secret;
use crate::secret::file::SecretFile;

/// A secret text, wherever it comes from.
#[derive(Debug)]
pub(super) enum SecretText {
    Inline(Secret),
    File(SecretFile),
}

impl SecretText {
    pub(super) fn open(source: &SecretSource) -> std::io::Result<Self> {
        Ok(match source {
            SecretSource::Inline(secret) => Self::Inline(secret.clone()),
            SecretSource::File(path) => Self::File(SecretFile::open(path)?),
        })
    }

    fn current(&self) -> Secret {
        match self {
            Self::Inline(secret) => secret.clone(),
            Self::File(file) => file.current(),
        }
    }
}

/// What a destination's `auth` has become.
#[derive(Debug)]
pub(super) enum Proof {
    None,
    Basic { username: String, password: SecretText },
    Scheme { scheme: String, credentials: SecretText },
    Sigv4 { signer: Signer, credentials: Arc<Cache>, skew: Arc<Skew> },
}

/// The headers of one attempt.
#[derive(Debug, Default)]
pub(super) struct Proven {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Texts that a receiver may repeat and nobody may read.
    pub(super) secrets: Vec<Secret>,
    /// The credentials that were used.
    pub(super) issued: Option<Issued>,
}

/// A request cannot be sent, since it would be unsigned.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProofFault {
    #[error(transparent)]
    NoCredentials(#[from] NoCredentials),
    #[error(transparent)]
    Sign(#[from] SignFault),
    #[error("the credentials hold characters that no header may hold")]
    Header,
}

impl Proof {
    pub(super) async fn prove(
        &self,
        headers: &[(&'static str, &'static str)],
        body: &[u8],
    ) -> Result<Proven, ProofFault> {
        match self {
            Self::None => Ok(Proven::default()),
            Self::Basic { username, password } => {
                let password = password.current();
                let pair = format!("{username}:{}", password.expose());
                let pair = Secret::new(base64_simd::STANDARD.encode_to_string(pair));
                let mut proven = authorization("Basic", &pair)?;
                proven.secrets.push(password);
                Ok(proven)
            }
            Self::Scheme { scheme, credentials } => authorization(scheme, &credentials.current()),
            Self::Sigv4 { signer, credentials, skew } => {
                let issued = credentials.get().await?;
                let keys = issued.credentials();
                let now = skew.correct(SystemTime::now());
                let headers = signer.sign(keys, headers, body, now)?;
                let secrets = [Some(keys.secret_access_key()), keys.session_token()];
                let secrets = secrets.into_iter().flatten().map(Secret::new).collect();
                Ok(Proven { headers, secrets, issued: Some(issued) })
            }
        }
    }

    /// The receiver did not take the proof, in an answer of that `Date`. If a signature was dated
    /// wrongly by that, the next one is dated by the receiver's clock; otherwise the credentials are
    /// in doubt. Returns by how many seconds the receiver's clock is ahead, if that is news.
    pub(super) fn refused(&self, proven: &Proven, date: Option<SystemTime>) -> Option<i64> {
        let Self::Sigv4 { credentials, skew, .. } = self else { return None };
        let learnt = date.and_then(|date| skew.learn(date, SystemTime::now()));
        if let (None, Some(issued)) = (learnt, &proven.issued) {
            credentials.invalidate(issued);
        }
        learnt
    }
}

fn authorization(scheme: &str, credentials: &Secret) -> Result<Proven, ProofFault> {
    let value = format!("{scheme} {}", credentials.expose());
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| ProofFault::Header)?;
    value.set_sensitive(true);
    Ok(Proven {
        headers: vec![(AUTHORIZATION, value)],
        secrets: vec![credentials.clone()],
        issued: None,
    })
}
