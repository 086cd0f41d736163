//! TLS as the clients that people use speak it: openssl's s_client in each version, curl, Python, and a login into the example site, by a script and
//! by Chromium. What is not installed is left out, with a message.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use support::external::{Ended, feed, find, run};
use support::tls::{Authority, start};
use support::{Builder, Server, python, repository};

fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// Of 2048 bits; making one takes too long in a debug build.
fn rsa() -> KeyPair {
    KeyPair::from_pem_and_sign_algo(include_str!("tls_files/rsa.key"), &PKCS_RSA_SHA256).expect("a key")
}

/// The kitchen over TLS: one name, with this key, whose clients may show a certificate.
struct Kitchen {
    authority: Authority,
    _server: Server,
    address: SocketAddr,
}

impl Kitchen {
    fn start(key: &KeyPair, client_auth: &str) -> Kitchen {
        let authority = Authority::new();
        authority.issue_for("site", &["localhost"], key);
        authority.issue("client", &["client.test"], &PKCS_ECDSA_P256_SHA256);
        let more = match client_auth {
            "none" => String::new(),
            asked => format!("client_auth = '{asked}'\nclient_ca = {:?}", authority.root()),
        };
        let (server, address) = start(Builder::app("kitchen").section(&authority.table("site", &more)));
        Kitchen { authority, _server: server, address }
    }

    fn file(&self, name: &str) -> String {
        self.authority.folder().join(name).display().to_string()
    }

    /// A request by s_client, with further arguments.
    #[track_caller]
    fn s_client(&self, openssl: &Path, arguments: &[&str]) -> Ended {
        let (address, root) = (self.address.to_string(), self.file("ca.pem"));
        let common = [
            "s_client",
            "-connect",
            &address,
            "-servername",
            "localhost",
            "-CAfile",
            &root,
            "-verify_return_error",
            "-ign_eof",
        ];
        let request = b"GET /environ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        feed(openssl, &[&common[..], arguments].concat(), request)
    }
}

#[track_caller]
fn is_answered(ended: &Ended) -> &str {
    assert!(ended.code == Some(0) && ended.out.contains("HTTP/1.1 200 OK"), "{ended:?}");
    assert!(ended.out.contains("Verify return code: 0 (ok)"), "{ended:?}");
    &ended.out
}

#[test]
fn openssl_speaks_every_version_that_is_offered_and_no_older_one() {
    let Some(openssl) = find("openssl", "openssl") else { return };
    for key in [ecdsa(), rsa()] {
        let kitchen = Kitchen::start(&key, "none");
        for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let ended = kitchen.s_client(&openssl, &[flag]);
            let told = is_answered(&ended);
            assert!(told.contains(&format!("New, {version}, Cipher is ")), "{told}");
            assert!(told.contains(&format!("\"SSL_PROTOCOL\": \"{version}\"")), "{told}");
        }
        // With whatever this openssl still can, lest it refuse by itself.
        for flag in ["-tls1", "-tls1_1"] {
            let ended = kitchen.s_client(&openssl, &[flag, "-cipher", "ALL:@SECLEVEL=0"]);
            assert!(ended.code != Some(0) && !ended.out.contains("HTTP/1.1"), "{ended:?}");
            assert!(ended.err.contains("SSL alert number"), "the server says no, and not this openssl: {ended:?}");
        }
    }
}

#[test]
fn openssl_resumes_its_sessions_in_both_versions() {
    let Some(openssl) = find("openssl", "openssl") else { return };
    let kitchen = Kitchen::start(&ecdsa(), "none");
    let session = kitchen.file("session.pem");
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        is_answered(&kitchen.s_client(&openssl, &[flag, "-sess_out", &session]));
        let ended = kitchen.s_client(&openssl, &[flag, "-sess_in", &session]);
        assert!(is_answered(&ended).contains(&format!("Reused, {version}, Cipher is ")), "{ended:?}");
    }
}

#[test]
fn openssl_agrees_on_a_protocol_and_shows_its_certificate() {
    let Some(openssl) = find("openssl", "openssl") else { return };
    let kitchen = Kitchen::start(&ecdsa(), "required");
    let (cert, key) = (kitchen.file("client.pem"), kitchen.file("client.key"));
    for flag in ["-tls1_2", "-tls1_3"] {
        let ended = kitchen.s_client(&openssl, &[flag, "-cert", &cert, "-key", &key, "-alpn", "h2,http/1.1"]);
        let told = is_answered(&ended);
        assert!(
            told.contains("ALPN protocol: http/1.1") && told.contains("\"SSL_CLIENT_VERIFY\": \"SUCCESS\""),
            "{told}"
        );
        let ended = kitchen.s_client(&openssl, &[flag]);
        assert!(!ended.out.contains("HTTP/1.1 200"), "without a certificate: {ended:?}");
        let ended = kitchen.s_client(&openssl, &[flag, "-cert", &cert, "-key", &key, "-alpn", "h2"]);
        assert!(ended.err.contains("alert no application protocol"), "{ended:?}");
    }
}

#[test]
fn curl_speaks_both_versions_with_certificates_of_its_own() {
    let Some(curl) = find("curl", "curl") else { return };
    let kitchen = Kitchen::start(&rsa(), "required");
    let url = format!("https://localhost:{}/environ", kitchen.address.port());
    let (root, cert, key) = (kitchen.file("ca.pem"), kitchen.file("client.pem"), kitchen.file("client.key"));
    let common = ["-sS", "--max-time", "100", "--noproxy", "*", "--cacert", &root];
    let shown = ["-w", "\\n%{http_version} %{ssl_verify_result} %{num_connects}", &url];
    for (versions, version) in [(["--tls-max", "1.2"], "TLSv1.2"), (["--tlsv1.3", "--http2"], "TLSv1.3")] {
        let own = ["--cert", &cert, "--key", &key];
        let told = run(&curl, &[&common[..], &versions, &own, &shown].concat());
        assert!(told.ends_with("\n1.1 0 1"), "{told}");
        let environ: serde_json::Value = serde_json::from_str(told.lines().next().expect("a line")).expect("JSON");
        assert_eq!(environ["SSL_PROTOCOL"], version);
        let subject = environ["SSL_CLIENT_S_DN"].as_str().expect("a subject");
        assert!(subject.contains("CN=client") && environ["SSL_CLIENT_VERIFY"] == "SUCCESS", "{subject}");
        let ended = feed(&curl, &[&common[..], &versions, &shown].concat(), b"");
        assert!(ended.code != Some(0) && !ended.out.contains("REQUEST_METHOD"), "without a certificate: {ended:?}");
    }
    let untrusting = feed(&curl, &["-sS", "--noproxy", "*", &url], b"");
    assert_eq!(untrusting.code, Some(60), "an authority that curl does not know");
}

#[test]
fn python_speaks_both_versions_resumes_and_shows_its_certificate() {
    let kitchen = Kitchen::start(&ecdsa(), "optional");
    let script = repository().join("tests/clients/session.py").display().to_string();
    let port = kitchen.address.port().to_string();
    let files = ["ca.pem", "client.pem", "client.key"].map(|name| kitchen.file(name));
    let told = run(&python::interpreter(), &[&script, &port, &files[0], &files[1], &files[2]]);
    let expected = ["TLSv1.2", "TLSv1.3"].map(|name| format!("{name} new, resumed, and with a certificate\n"));
    assert_eq!(told, expected.concat());
}

/// The example site over TLS, with secure cookies alone; `more`: further settings.
struct Site {
    authority: Authority,
    _server: Server,
    address: SocketAddr,
}

impl Site {
    fn start(more: &str) -> Site {
        let python = python::with_django();
        let site = repository().join("examples/site");
        let authority = Authority::new();
        authority.issue("site", &["localhost"], &PKCS_ECDSA_P256_SHA256);
        let builder = Builder::app("mysite.wsgi:application").chdir(&site).python(&python);
        let folder = builder.folder().to_owned();
        let settings = format!(
            "from mysite.settings import *\nSESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True\n{more}\n"
        );
        fs::write(folder.join("secure_settings.py"), settings).expect("a writable folder");
        let data = folder.join("data").display().to_string();
        let path = folder.display().to_string();
        let variables = [("SITE_DATA", &*data), ("PYTHONPATH", &path), ("DJANGO_SETTINGS_MODULE", "secure_settings")];
        for command in [
            &["manage.py", "migrate", "--verbosity", "0"][..],
            &["manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
            &["manage.py", "seed", "--notes", "3"],
        ] {
            python::run(&python, &site, &variables, command);
        }
        let builder = variables.iter().fold(builder, |builder, (name, value)| builder.environment(name, value));
        let (server, address) = start(builder.section(&authority.table("site", "")));
        Site { authority, _server: server, address }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn root(&self) -> PathBuf {
        self.authority.root()
    }
}

const PROXY_HEADER: &str = "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')";

#[test]
fn a_user_logs_into_the_example_site_with_secure_cookies_and_csrf() {
    let script = repository().join("tests/clients/login.py").display().to_string();
    for more in [PROXY_HEADER, ""] {
        let site = Site::start(more);
        let root = site.root().display().to_string();
        assert_eq!(run(&python::interpreter(), &[&script, &site.url(), &root]), "in\n", "{more}");
        // Over plain HTTP nobody passes for a client of HTTPS: Django sends him there.
        let mut plain = site._server.connect();
        plain.request("GET", "/login/", "X-Forwarded-Proto: https\r\nForwarded: proto=https\r\n");
        let response = plain.response("GET");
        assert_eq!(response.status, 301, "{more}");
        assert!(response.field("location").is_some_and(|to| to.starts_with("https://localhost/")), "{more}");
    }
}

#[test]
fn chromium_logs_into_the_example_site_over_tls() {
    let Some(chromium) = find("chromium", "chromium") else { return };
    let script = repository().join("tests/clients/chromium.py").display().to_string();
    let site = Site::start(PROXY_HEADER);
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (chromium, folder) = (chromium.display().to_string(), folder.path().display().to_string());
    assert_eq!(run(&python::interpreter(), &[&script, &chromium, &site.url(), &folder]), "in\n");
}
