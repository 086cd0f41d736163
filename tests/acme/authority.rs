//! A certificate authority that speaks ACME (RFC 8555), in the test's own process: strict with its client, and as rude as a test wants.
//!
//! Owns its accounts, orders and nonces. It verifies every signature, uses each nonce once, and looks at challenges for itself, at the
//! ports that the test gives it. `wire` speaks HTTP over TLS, `jose` knows signatures, `look` looks at challenges.

mod jose;
mod look;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rcgen::{CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair, SanType};
use serde_json::{Value, json};
use time::OffsetDateTime;

use self::jose::Signed;
use self::wire::{Answer, Request};
use crate::support::DEADLINE;
use crate::support::tls::Authority;

/// What the authority does to one request instead of answering it as it should.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Says that the nonce was bad, which it was not.
    BadNonce,
    /// Says that there were too many requests; Retry-After as it is given.
    RateLimited(&'static str),
    /// Status 500 without a problem document.
    Broken,
    /// Status 200, or what is asked for, with bytes that mean nothing.
    Garbage,
    /// More bytes than anybody can want.
    Flood,
    /// Ends the connection without an answer.
    HangUp,
    /// Answers when the test says so.
    Hold,
    /// A certificate for another key.
    OtherKey,
    /// The account was never heard of.
    Forgotten,
}

/// How certificates are made and challenges met.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Challenges that are offered.
    pub offers: Vec<&'static str>,
    /// Where HTTP-01 looks on 127.0.0.1.
    pub http_port: u16,
    /// Where TLS-ALPN-01 looks on 127.0.0.1.
    pub tls_port: u16,
    /// How often it looks: from several places, as it were.
    pub looks: usize,
    /// Validity of certificates, seconds before and after now.
    pub validity: (i64, i64),
    /// How often an order is still in progress when it is asked for.
    pub patience: u32,
    /// Identifier and key of external accounts, if they are required.
    pub binding: Option<(String, Vec<u8>)>,
}

#[derive(Default)]
struct State {
    nonces: BTreeSet<String>,
    accounts: Vec<Account>,
    orders: Vec<Order>,
    authorizations: Vec<Authorization>,
    certificates: Vec<String>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    /// Kinds of requests, in their order.
    seen: Vec<String>,
    count: u64,
    holds: usize,
    may_go_on: bool,
    /// It knows where to look.
    is_ready: bool,
}

struct Account {
    key: Value,
    contacts: Value,
}

struct Order {
    account: usize,
    names: Vec<String>,
    authorizations: Vec<usize>,
    certificate: Option<usize>,
    left: u32,
}

struct Authorization {
    name: String,
    token: String,
    status: &'static str,
    error: Option<Value>,
}

struct Shared {
    base: String,
    manners: Mutex<Manners>,
    state: Mutex<State>,
    changed: Condvar,
    issuer: Authority,
}

/// A running authority. It ends when it is dropped.
pub struct AcmeServer {
    shared: Arc<Shared>,
    wire: wire::Listener,
}

impl AcmeServer {
    /// A new one, which offers both challenges and issues for 90 days.
    pub fn new() -> AcmeServer {
        let issuer = Authority::new();
        issuer.issue("acme", &["localhost"], &rcgen::PKCS_ECDSA_P256_SHA256);
        let wire = wire::Listener::bind();
        let manners = Manners {
            offers: vec!["http-01", "tls-alpn-01"],
            http_port: 0,
            tls_port: 0,
            looks: 6,
            validity: (-3600, 90 * 24 * 3600),
            patience: 1,
            binding: None,
        };
        let shared = Arc::new(Shared {
            base: format!("https://localhost:{}", wire.port()),
            manners: Mutex::new(manners),
            state: Mutex::default(),
            changed: Condvar::new(),
            issuer,
        });
        let answering = shared.clone();
        wire.serve(&shared.issuer, move |request| answering.answer(request));
        AcmeServer { shared, wire }
    }

    /// `[acme]` for it, with further lines.
    pub fn section(&self, more: &str) -> String {
        format!(
            "[acme]\naccept_terms = true\ndirectory = \"{}/dir\"\nca_file = {:?}\nstorage = \"acme\"\nretry = \"1s\"\n{more}\n",
            self.shared.base,
            self.issuer().root()
        )
    }

    /// The folder below `storage` that belongs to it.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(format!("acme/ca-localhost-{}-dir", self.wire.port()))
    }

    /// Who signs its certificates, and its own.
    pub fn issuer(&self) -> &Authority {
        &self.shared.issuer
    }

    /// Changes how it behaves from now on.
    pub fn manners(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.manners.lock().expect("no thread has panicked"));
    }

    /// It looks for challenges at the ports of `plain` and `tls`. Before it knows where, it answers nothing.
    pub fn looks_at(&self, plain: SocketAddr, tls: SocketAddr) {
        self.manners(|manners| (manners.http_port, manners.tls_port) = (plain.port(), tls.port()));
        self.shared.state().is_ready = true;
        self.shared.changed.notify_all();
    }

    /// The next request of this kind (`newOrder`, `finalize`, …) fails so.
    pub fn fail(&self, kind: &str, fault: Fault) {
        self.shared.state().faults.entry(kind.to_owned()).or_default().push_back(fault);
    }

    /// Kinds of requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.shared.state().seen.clone()
    }

    /// How many requests of a kind there were.
    pub fn count(&self, kind: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == kind).count()
    }

    /// Addresses of the accounts.
    pub fn contacts(&self) -> Vec<Value> {
        self.shared.state().accounts.iter().map(|account| account.contacts.clone()).collect()
    }

    /// Waits until it has issued so many certificates.
    #[track_caller]
    pub fn wait_issued(&self, count: usize) {
        self.wait("certificates", |state| state.certificates.len() >= count);
    }

    /// Waits until it holds back so many answers.
    #[track_caller]
    pub fn wait_held(&self, count: usize) {
        self.wait("answers held back", |state| state.holds >= count);
    }

    /// Gives what is held back.
    pub fn release(&self) {
        self.shared.state().may_go_on = true;
        self.shared.changed.notify_all();
    }

    #[track_caller]
    fn wait(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, 2 * DEADLINE, |state| !holds(state));
        let (state, timed_out) = waited.expect("no thread has panicked");
        assert!(!timed_out.timed_out(), "waited in vain for {what}; seen: {:?}", state.seen);
    }
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        self.release();
        self.wire.stop();
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    let body = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status});
    Answer::json(status, &body).with("Content-Type", "application/problem+json")
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread has panicked")
    }

    fn nonce(&self) -> String {
        let mut state = self.state();
        state.count += 1;
        let nonce = format!("nonce-{}", state.count);
        state.nonces.insert(nonce.clone());
        nonce
    }

    /// `None`: the connection ends.
    fn answer(&self, request: &Request) -> Option<Answer> {
        let mut parts = request.path.trim_start_matches('/').split('/');
        let (what, id) = (parts.next().unwrap_or_default(), parts.next().and_then(|id| id.parse::<usize>().ok()));
        let kind = match what {
            "dir" => "directory",
            "nonce" => "newNonce",
            "new-account" => "newAccount",
            "new-order" => "newOrder",
            known => known,
        };
        let fault = {
            let mut state = self.state();
            state.seen.push(kind.to_owned());
            let waited = self.changed.wait_while(state, |state| !state.is_ready && !state.may_go_on);
            let mut state = waited.expect("no thread has panicked");
            state.faults.get_mut(kind).and_then(VecDeque::pop_front)
        };
        self.changed.notify_all();
        let answer = match &fault {
            Some(Fault::BadNonce) => problem(400, "badNonce", "the nonce is not known"),
            Some(Fault::RateLimited(wait)) => {
                problem(429, "rateLimited", "too many requests").with("Retry-After", wait)
            }
            Some(Fault::Forgotten) => problem(400, "accountDoesNotExist", "who are you?"),
            Some(Fault::Broken) => Answer::text(500, "<html>oops</html>"),
            Some(Fault::Garbage) => Answer::text(200, "{\"status\": 5, \u{1}"),
            Some(Fault::Flood) => Answer::text(200, &"x".repeat(8 * 1024 * 1024)),
            Some(Fault::HangUp) => return None,
            Some(Fault::Hold) => {
                let mut state = self.state();
                state.holds += 1;
                self.changed.notify_all();
                drop(self.changed.wait_while(state, |state| !state.may_go_on).expect("no thread has panicked"));
                self.proper(request, what, id, None)
            }
            other => self.proper(request, what, id, other.as_ref()),
        };
        let wants_nonce = request.method != "GET";
        Some(if wants_nonce { answer.with("Replay-Nonce", &self.nonce()) } else { answer })
    }

    fn proper(&self, request: &Request, what: &str, id: Option<usize>, fault: Option<&Fault>) -> Answer {
        let base = &self.base;
        match (request.method.as_str(), what) {
            ("GET", "dir") => {
                return Answer::json(
                    200,
                    &json!({
                        "newNonce": format!("{base}/nonce"),
                        "newAccount": format!("{base}/new-account"),
                        "newOrder": format!("{base}/new-order"),
                        "revokeCert": format!("{base}/revoke"),
                        "keyChange": format!("{base}/key-change"),
                        "meta": {"termsOfService": format!("{base}/terms")},
                    }),
                );
            }
            ("HEAD", "nonce") => return Answer::text(200, ""),
            ("POST", _) => {}
            _ => return problem(405, "malformed", "another method is wanted"),
        }
        if request.field("content-type") != Some("application/jose+json") {
            return problem(415, "malformed", "the content type is wrong");
        }
        let signed = match Signed::parse(&request.body) {
            Ok(signed) => signed,
            Err(error) => return problem(400, "malformed", error),
        };
        let mut state = self.state();
        if !signed.header["nonce"].as_str().is_some_and(|nonce| state.nonces.remove(nonce)) {
            return problem(400, "badNonce", "the nonce is not known");
        }
        if signed.header["url"] != format!("{base}{}", request.path) {
            return problem(400, "unauthorized", "signed for another URL");
        }
        let account = signed.header["kid"].as_str().and_then(|kid| {
            let number: usize = kid.strip_prefix(&format!("{base}/account/"))?.parse().ok()?;
            state.accounts.get(number).map(|account| (number, account.key.clone()))
        });
        let key = match (what, &account) {
            ("new-account", _) => signed.header["jwk"].clone(),
            (_, Some((_, key))) => key.clone(),
            _ => return problem(400, "accountDoesNotExist", "no such account"),
        };
        if let Err(error) = signed.verify(&key) {
            return problem(400, "malformed", error);
        }
        if what == "new-account" {
            return self.new_account(&mut state, &signed, &key);
        }
        let number = account.expect("told apart before").0;
        match (what, id) {
            ("account", Some(_)) => {
                state.accounts[number].contacts = signed.payload["contact"].clone();
                Answer::json(200, &json!({"status": "valid"}))
            }
            ("new-order", _) => self.new_order(&mut state, number, &signed.payload),
            ("order", Some(id)) if state.orders.get(id).is_some_and(|order| order.account == number) => {
                let order = &mut state.orders[id];
                order.left = order.left.saturating_sub(1);
                self.order(&state, id, 200)
            }
            ("authorization", Some(id)) if id < state.authorizations.len() => self.authorization(&state, id),
            ("challenge", Some(id)) if id < state.authorizations.len() => {
                let kind = request.path.rsplit('/').next().unwrap_or_default().to_owned();
                let (name, token) = (state.authorizations[id].name.clone(), state.authorizations[id].token.clone());
                let answer = format!("{token}.{}", jose::thumbprint(&key));
                // Looking takes a while, and the server that is looked at may ask something meanwhile.
                drop(state);
                let manners = self.manners.lock().expect("no thread has panicked").clone();
                let found = look::at(&manners, &kind, &name, &token, &answer);
                let mut state = self.state();
                let authorization = &mut state.authorizations[id];
                match found {
                    Ok(()) => authorization.status = "valid",
                    Err(error) => {
                        authorization.status = "invalid";
                        let kind = "urn:ietf:params:acme:error:unauthorized";
                        authorization.error = Some(json!({"type": kind, "detail": error, "status": 403}));
                    }
                }
                Answer::json(200, &self.challenge(&state, id, &kind, "processing"))
            }
            ("finalize", Some(id)) if state.orders.get(id).is_some_and(|order| order.account == number) => {
                self.finalize(&mut state, id, &signed.payload, fault)
            }
            ("certificate", Some(id)) if id < state.certificates.len() => {
                Answer::text(200, &state.certificates[id]).with("Content-Type", "application/pem-certificate-chain")
            }
            _ => problem(404, "malformed", "there is nothing here"),
        }
    }

    fn new_account(&self, state: &mut State, signed: &Signed, key: &Value) -> Answer {
        if signed.payload["termsOfServiceAgreed"] != true {
            return problem(403, "userActionRequired", "the terms were not agreed to");
        }
        let manners = self.manners.lock().expect("no thread has panicked");
        if let Some((id, secret)) = &manners.binding {
            let binding = &signed.payload["externalAccountBinding"];
            if binding.is_null() {
                return problem(403, "externalAccountRequired", "whose account is it?");
            }
            if let Err(error) = jose::verify_binding(binding, id, secret, key, &format!("{}/new-account", self.base)) {
                return problem(403, "unauthorized", error);
            }
        }
        let known = state.accounts.iter().position(|account| account.key == *key);
        let number = known.unwrap_or_else(|| {
            state.accounts.push(Account { key: key.clone(), contacts: signed.payload["contact"].clone() });
            state.accounts.len() - 1
        });
        let status = if known.is_some() { 200 } else { 201 };
        Answer::json(status, &json!({"status": "valid"})).with("Location", &format!("{}/account/{number}", self.base))
    }

    fn new_order(&self, state: &mut State, account: usize, payload: &Value) -> Answer {
        let identifiers = payload["identifiers"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = identifiers
            .iter()
            .filter(|identifier| identifier["type"] == "dns")
            .filter_map(|identifier| identifier["value"].as_str().map(str::to_owned))
            .collect();
        if names.is_empty() || names.len() != identifiers.len() {
            return problem(400, "malformed", "no names");
        }
        let first = state.authorizations.len();
        for name in &names {
            let token = format!("token_{}-{}", state.authorizations.len(), state.count);
            state.authorizations.push(Authorization { name: name.clone(), token, status: "pending", error: None });
        }
        let authorizations = (first..first + names.len()).collect();
        let left = self.manners.lock().expect("no thread has panicked").patience;
        state.orders.push(Order { account, names, authorizations, certificate: None, left });
        let id = state.orders.len() - 1;
        self.order(state, id, 201).with("Location", &format!("{}/order/{id}", self.base))
    }

    fn order(&self, state: &State, id: usize, status: u16) -> Answer {
        let (base, order) = (&self.base, &state.orders[id]);
        let of =
            |wanted: &str| order.authorizations.iter().filter(|&&id| state.authorizations[id].status == wanted).count();
        let phase = match order.certificate {
            Some(_) if order.left > 0 => "processing",
            Some(_) => "valid",
            None if of("invalid") > 0 => "invalid",
            None if of("valid") == order.authorizations.len() && order.left == 0 => "ready",
            None => "pending",
        };
        let mut body = json!({
            "status": phase,
            "identifiers": order.names.iter().map(|name| json!({"type": "dns", "value": name})).collect::<Vec<_>>(),
            "authorizations":
                order.authorizations.iter().map(|id| format!("{base}/authorization/{id}")).collect::<Vec<_>>(),
            "finalize": format!("{base}/finalize/{id}"),
        });
        if let Some(certificate) = order.certificate.filter(|_| phase == "valid") {
            body["certificate"] = json!(format!("{base}/certificate/{certificate}"));
        }
        Answer::json(status, &body)
    }

    fn challenge(&self, state: &State, id: usize, kind: &str, open: &str) -> Value {
        let authorization = &state.authorizations[id];
        let status = if authorization.status == "pending" { open } else { authorization.status };
        let mut body = json!({
            "type": kind,
            "url": format!("{}/challenge/{id}/{kind}", self.base),
            "token": authorization.token,
            "status": if open == "processing" { open } else { status },
        });
        if let Some(error) = authorization.error.as_ref().filter(|_| open != "processing") {
            body["error"] = error.clone();
        }
        body
    }

    fn authorization(&self, state: &State, id: usize) -> Answer {
        let authorization = &state.authorizations[id];
        let offers = self.manners.lock().expect("no thread has panicked").offers.clone();
        // One that no client knows stands among them.
        let kinds = ["dns-persist-01"].into_iter().chain(offers);
        let challenges: Vec<_> = kinds.map(|kind| self.challenge(state, id, kind, "pending")).collect();
        Answer::json(
            200,
            &json!({
                "status": authorization.status,
                "identifier": {"type": "dns", "value": authorization.name},
                "challenges": challenges,
            }),
        )
    }

    fn finalize(&self, state: &mut State, id: usize, payload: &Value, fault: Option<&Fault>) -> Answer {
        let order = &state.orders[id];
        let is_ready = order.authorizations.iter().all(|&id| state.authorizations[id].status == "valid");
        if !is_ready || order.certificate.is_some() {
            return problem(403, "orderNotReady", "the order is not ready");
        }
        let request = payload["csr"].as_str().and_then(jose::decode).unwrap_or_default();
        let Ok(mut request) = CertificateSigningRequestParams::from_der(&request.into()) else {
            return problem(400, "badCSR", "the request cannot be read");
        };
        let names = |params: &CertificateParams| -> BTreeSet<String> {
            let name = |san: &SanType| match san {
                SanType::DnsName(name) => name.as_str().to_owned(),
                other => format!("{other:?}"),
            };
            params.subject_alt_names.iter().map(name).collect()
        };
        if names(&request.params) != order.names.iter().cloned().collect() {
            return problem(400, "badCSR", "the request is for other names");
        }
        let manners = self.manners.lock().expect("no thread has panicked").clone();
        let params = &mut request.params;
        params.distinguished_name = DistinguishedName::new();
        let now = OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::seconds(manners.validity.0);
        params.not_after = now + time::Duration::seconds(manners.validity.1);
        let issuer = self.issuer.issuer();
        let made = match fault {
            Some(Fault::OtherKey) => {
                request.params.signed_by(&KeyPair::generate().expect("a key"), issuer).expect("a certificate")
            }
            _ => request.signed_by(issuer).expect("a certificate"),
        };
        state.certificates.push(made.pem() + &issuer.pem());
        let order = &mut state.orders[id];
        order.certificate = Some(state.certificates.len() - 1);
        order.left = manners.patience;
        self.changed.notify_all();
        self.order(state, id, 200).with("Retry-After", "1")
    }
}

/// How long a look at a challenge may take.
const LOOK: Duration = Duration::from_secs(10);
