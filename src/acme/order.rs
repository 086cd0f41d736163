//! One attempt to get one certificate: account, order, challenges, key, certificate (RFC 8555 §7).
//!
//! Owns the order of steps and its bound in time. Nothing of what the authority says is believed before it was checked: the certificate
//! is, by `store`. Called by `keeper`, on its thread.

use std::fmt;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::client::{Client, Heard, ready};
use super::keeper::{Host, Wanted};
use super::store::{Account, Store};
use crate::base::bounds::{ACME_ATTEMPT_SECONDS, ACME_FILE_BYTES_MAX, ACME_MESSAGE_CHARS_MAX, ACME_POLL_SECONDS_MAX};
use crate::base::clock::{self, Monotonic};
use crate::config::{AcmeBinding, AcmeConfig, HostPattern};
use crate::tls::{Challenges, Leaf};

/// Why there is no certificate this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A sentence.
    pub message: String,
    /// For how many seconds the authority wants to be left alone.
    pub wait_seconds: Option<u64>,
    /// It would be the same for every other certificate: the authority is not there, overloaded, or wants less of us.
    pub is_general: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    fn of(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), wait_seconds: None, is_general: false }
    }
}

/// What all kinds of problems begin with (RFC 8555 §6.7).
const KINDS: &str = "urn:ietf:params:acme:error:";
/// How soon the state of an order is asked for first.
const POLL_FIRST: Duration = Duration::from_millis(250);

/// What an attempt needs.
pub struct Attempt<'a> {
    pub config: &'a AcmeConfig,
    pub store: &'a Store,
    pub host: &'a dyn Host,
    /// Challenges that can be met, the one to be tried first.
    pub kinds: &'a [ChallengeType],
}

impl Attempt<'_> {
    /// Gets the certificate for `wanted` and puts it into its file.
    ///
    /// # Errors
    /// Anything that went wrong; what was there is there.
    pub fn obtain(&self, wanted: &Wanted) -> Result<Leaf, Failure> {
        let (client, heard) = Client::new(self.config).map_err(Failure::of)?;
        let outcome = self.steps(wanted, client);
        // Whatever became of it, nobody looks for them any more.
        self.host.publish(Arc::default());
        outcome.map_err(|failure| with_what_was_heard(failure, &heard))
    }

    fn steps(&self, wanted: &Wanted, client: Client) -> Result<Leaf, Failed> {
        let end = Monotonic::now() + Duration::from_secs(ACME_ATTEMPT_SECONDS);
        let account = self.account(client)?;
        let identifiers: Vec<_> = wanted.names.iter().map(|name| Identifier::Dns(name.text().to_owned())).collect();
        let mut order = match ready(account.new_order(&NewOrder::new(&identifiers)))? {
            Ok(order) => order,
            Err(error) => {
                if problem(&error).is_some_and(|kind| kind == "accountDoesNotExist") {
                    tracing::warn!(
                        "the authority does not know the ACME account any more; the next attempt makes a new one"
                    );
                    self.store.drop_account().map_err(|error| Failed::from(error.to_string()))?;
                }
                return Err(error.into());
            }
        };
        if self.show(&mut order)? {
            self.say_ready(&mut order)?;
        }
        wait(&mut order, end, |status| matches!(status, OrderStatus::Ready | OrderStatus::Valid))?;
        let key = KeyPair::generate().map_err(|error| Failed::from(format!("cannot make a key: {error}")))?;
        let request = request(&wanted.names, &key).map_err(|error| Failed::from(format!("cannot ask: {error}")))?;
        ready(order.finalize_csr(&request))??;
        wait(&mut order, end, |status| matches!(status, OrderStatus::Valid))?;
        let chain = ready(order.certificate())??.ok_or(Error::Str("the order is valid and has no certificate"))?;
        let now = clock::wall_seconds();
        Ok(self.store.put_certificate(&wanted.file, &key.serialize_pem(), &chain, &wanted.names, now)?)
    }

    /// The account that is kept, or a new one.
    fn account(&self, client: Client) -> Result<instant_acme::Account, Failed> {
        let builder = instant_acme::Account::builder_with_http(Box::new(client));
        let contacts: Vec<_> = self.config.emails.iter().map(|email| format!("mailto:{email}")).collect();
        let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
        let keep = |credentials| {
            let (directory, emails) = (self.config.directory.clone(), self.config.emails.clone());
            let kept = self.store.put_account(&Account { directory, emails, credentials });
            kept.map_err(|error| Failed::from(format!("cannot keep the account: {error}")))
        };
        if let Some(kept) = self.store.account(&self.config.directory) {
            let is_current = kept.emails == self.config.emails;
            // Written again below with other addresses; it can't be copied otherwise.
            let copy = self.store.account(&self.config.directory).map(|kept| kept.credentials);
            let account = ready(builder.from_credentials(kept.credentials))??;
            if !is_current && let Some(credentials) = copy {
                ready(account.update_contacts(&contacts))??;
                keep(credentials)?;
            }
            return Ok(account);
        }
        let binding = self.config.binding.as_ref().map(binding).transpose()?;
        let new = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
        let created = ready(builder.create(&new, self.config.directory.clone(), binding.as_ref()))?;
        let (account, credentials) = created?;
        keep(credentials)?;
        tracing::info!(directory = self.config.directory, "ACME account made");
        Ok(account)
    }

    /// Has every shard answer the challenges of `order`. `false`: none is open.
    fn show(&self, order: &mut Order) -> Result<bool, Failed> {
        let mut challenges = Challenges::default();
        let mut is_open = false;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = ready(authorizations.next())? {
            let mut authorization = authorization?;
            let Some(kind) = self.kind(&authorization)? else { continue };
            is_open = true;
            let name = authorization.identifier().to_string();
            let challenge = authorization.challenge(kind.clone()).ok_or(Error::Str("the challenge is gone"))?;
            let answer = challenge.key_authorization();
            match kind {
                ChallengeType::Http01 => challenges.add_text(&challenge.token, answer.as_str()),
                _ => challenges.add_certificate(&name, answer.digest().as_ref())?,
            }
        }
        if is_open {
            self.host.publish(Arc::new(challenges));
        }
        Ok(is_open)
    }

    /// Tells the authority that it may look.
    fn say_ready(&self, order: &mut Order) -> Result<(), Failed> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = ready(authorizations.next())? {
            let mut authorization = authorization?;
            let Some(kind) = self.kind(&authorization)? else { continue };
            let mut challenge = authorization.challenge(kind).ok_or(Error::Str("the challenge is gone"))?;
            ready(challenge.set_ready())??;
        }
        Ok(())
    }

    /// Which challenge is taken; `None`: this name needs none.
    fn kind(&self, authorization: &instant_acme::AuthorizationState) -> Result<Option<ChallengeType>, Failed> {
        match authorization.status {
            AuthorizationStatus::Valid => return Ok(None),
            AuthorizationStatus::Pending => {}
            other => return Err(format!("{}: the authorization is {other:?}", authorization.identifier()).into()),
        }
        let offered = |kind: &&ChallengeType| authorization.challenges.iter().any(|found| found.r#type == **kind);
        match self.kinds.iter().find(offered) {
            Some(kind) => Ok(Some(kind.clone())),
            None => Err(format!(
                "{}: the authority offers no challenge that can be met here ({:?})",
                authorization.identifier(),
                self.kinds
            )
            .into()),
        }
    }
}

/// Waits until `order` is as it should be, or can't become so any more.
fn wait(order: &mut Order, end: Monotonic, is_reached: fn(OrderStatus) -> bool) -> Result<(), Failed> {
    let mut pause = POLL_FIRST;
    loop {
        let state = order.state();
        if is_reached(state.status) {
            return Ok(());
        }
        if state.status == OrderStatus::Invalid {
            let error = state.error.clone();
            return Err(refused(order, error));
        }
        if Monotonic::now() + pause >= end {
            return Err(format!("the authority has not decided within {ACME_ATTEMPT_SECONDS} s").into());
        }
        sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_secs(ACME_POLL_SECONDS_MAX));
        ready(order.refresh())??;
    }
}

/// Why an order is invalid: the authorizations know (RFC 8555 §7.1.6).
fn refused(order: &mut Order, error: Option<Problem>) -> Failed {
    let mut said: Vec<String> = error.iter().map(shown).collect();
    let mut authorizations = order.authorizations();
    while let Ok(Some(Ok(mut authorization))) = ready(authorizations.next()) {
        if !matches!(ready(authorization.refresh()), Ok(Ok(_))) {
            continue;
        }
        let name = authorization.identifier().to_string();
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        said.extend(errors.map(|error| format!("{name}: {}", shown(error))));
    }
    said.dedup();
    match said.is_empty() {
        true => "the authority has refused the order and does not say why".to_owned().into(),
        false => said.join("; ").into(),
    }
}

/// A problem in the authority's own words, with its kind.
fn shown(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().map(|kind| kind.strip_prefix(KINDS).unwrap_or(kind));
    let mut text = problem.detail.clone().unwrap_or_else(|| "without a reason".to_owned());
    if let Some(kind) = kind {
        text += &format!(" ({kind})");
    }
    for part in problem.subproblems.iter().filter_map(|part| part.detail.as_deref()) {
        text += &format!("; {part}");
    }
    text
}

/// A request for a certificate, DER (RFC 8555 §7.4).
fn request(names: &[HostPattern], key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let names: Vec<_> = names.iter().map(|name| name.text().to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// Reads the key that binds the account.
fn binding(binding: &AcmeBinding) -> Result<ExternalAccountKey, Failed> {
    use std::io::Read;
    let path = binding.key_file.display();
    let mut text = String::new();
    let file = std::fs::File::open(&binding.key_file);
    let read = file.and_then(|file| file.take(ACME_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| Failed::from(format!("eab_key_file: {path}: {error}")))?;
    let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let key = key.map_err(|_| Failed::from(format!("eab_key_file: {path}: is not base64url")))?;
    Ok(ExternalAccountKey::new(binding.key_id.clone(), &key))
}

/// What went wrong in a step, before the last answer is looked at.
#[derive(Debug)]
enum Failed {
    Authority(Error),
    Own(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Authority(error)
    }
}

impl From<String> for Failed {
    fn from(message: String) -> Failed {
        Failed::Own(message)
    }
}

/// The kind of a problem, without what all of them begin with (RFC 8555 §6.7).
fn problem(error: &Error) -> Option<&str> {
    match error {
        Error::Api(problem) => problem.r#type.as_deref()?.strip_prefix(KINDS),
        _ => None,
    }
}

fn with_what_was_heard(failed: Failed, heard: &Heard) -> Failure {
    let status = heard.status();
    let (message, is_authority) = match &failed {
        Failed::Own(message) => (message.clone(), false),
        Failed::Authority(Error::Api(problem)) => (format!("the authority says: {}", shown(problem)), true),
        Failed::Authority(Error::Json(_)) if status.is_some_and(|status| status >= 400) => {
            ("the authority refuses the request and does not say why".to_owned(), true)
        }
        Failed::Authority(Error::Json(error)) => (format!("the authority's answer makes no sense: {error}"), true),
        Failed::Authority(error) if status.is_none() => (format!("the authority does not answer: {error}"), true),
        Failed::Authority(error) => (error.to_string(), true),
    };
    let is_busy = status.is_none_or(|status| status == 429 || status >= 500);
    let is_limited = matches!(&failed, Failed::Authority(error) if problem(error) == Some("rateLimited"));
    let status =
        status.map_or(String::new(), |status| if is_authority { format!(" (status {status})") } else { String::new() });
    // It may be long, and is not ours.
    let message: String = message.chars().take(ACME_MESSAGE_CHARS_MAX).collect();
    Failure {
        message: message + &status,
        wait_seconds: heard.retry_after().filter(|_| is_authority && (is_busy || is_limited)),
        is_general: is_authority && is_busy,
    }
}
