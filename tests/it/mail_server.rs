//! A real mail server on a free port of this machine, which knows nothing of ours, and what it received.
//!
//! It is `mail_server.py` on a library of Python's, installed by `make tools`. With TLS its certificate is signed by an
//! authority of its own, made for each server.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::server::{PATIENCE, Site};

/// The login of servers that ask for one.
pub(crate) const LOGIN: (&str, &str) = ("care", "a password, 100% \"safe\"");

/// A mail server that is running.
pub(crate) struct MailServer {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    protection: &'static str,
}

impl MailServer {
    /// One that anybody on this machine may hand mail to.
    pub(crate) fn start() -> Self {
        Self::start_with("none")
    }

    /// One that asks for STARTTLS and [`LOGIN`].
    pub(crate) fn start_secure() -> Self {
        Self::start_with("starttls")
    }

    /// One that speaks TLS from the first byte and asks for [`LOGIN`].
    pub(crate) fn start_tls() -> Self {
        Self::start_with("tls")
    }

    fn start_with(protection: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("target/test-tools/bin/python"));
        command.arg(root.join("tests/it/mail_server.py")).arg(folder.path()).stdout(Stdio::piped());
        if protection != "none" {
            let (certificate, key) = certify(folder.path());
            command.arg("--tls").args([certificate, key]).args(["--login", LOGIN.0, LOGIN.1]);
            command.args((protection == "tls").then_some("--tls-first"));
        }
        let mut child = command.spawn().expect("`make tools` installs what the tests need");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening ").and_then(|port| port.parse().ok());
        Self { child, folder, port: port.expect("`make tools` installs what the tests need"), protection }
    }

    /// The authority that its certificate is signed by (PEM).
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A site that sends its mail here.
    pub(crate) fn serve(&self, site: Site) -> Site {
        let site = site
            .set("CHANNELS__EMAIL__TRANSPORT", "provider")
            .set("CHANNELS__EMAIL__SMTP__HOST", "localhost")
            .set("CHANNELS__EMAIL__SMTP__PORT", self.port.to_string());
        let site = site.set("CHANNELS__EMAIL__SMTP__TLS", self.protection);
        if self.protection == "none" {
            return site;
        }
        site.set("CHANNELS__EMAIL__SMTP__CA_FILE", self.authority().display().to_string())
            .set("CHANNELS__EMAIL__SMTP__USERNAME", LOGIN.0)
            .variable("SMTP_PASSWORD", LOGIN.1)
    }

    /// Every mail it has taken so far, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        let mut names: Vec<PathBuf> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        names.sort();
        names.iter().map(|path| Received::read(path)).collect()
    }

    /// What it has received once it is so much.
    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        let asking = async {
            while self.received().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, asking).await;
        let received = self.received();
        assert!(in_time.is_ok(), "{count} mails never came, only {received:#?}");
        received
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended.
        let _ = self.child.wait();
    }
}

/// A mail that was received, and how it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The sender of the envelope.
    pub(crate) from: String,
    /// The recipients of the envelope.
    pub(crate) to: Vec<String>,
    /// Whether the connection was encrypted.
    pub(crate) tls: bool,
    /// Who logged in.
    pub(crate) user: Option<String>,
    /// The mail itself.
    pub(crate) mail: String,
}

impl Received {
    fn read(path: &Path) -> Self {
        let how: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            from: text(&how["from"]),
            to: how["to"].as_array().unwrap().iter().map(text).collect(),
            tls: how["tls"].as_bool().unwrap(),
            user: how["user"].as_str().map(str::to_owned),
            mail: String::from_utf8(fs::read(path.with_extension("eml")).unwrap()).unwrap(),
        }
    }

    /// A header on one line; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.mail.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ").replace("\r\n\t", " ");
        let wanted = format!("{}:", name.to_ascii_lowercase());
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&wanted));
        line.map_or(String::new(), |line| line[wanted.len()..].trim().to_owned())
    }

    /// The ids in a header, without their angle brackets.
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        self.header(name).split_whitespace().map(|id| id.trim_matches(['<', '>']).to_owned()).collect()
    }

    /// Its own id.
    pub(crate) fn id(&self) -> String {
        self.ids("Message-ID").remove(0)
    }
}

/// A certificate for `localhost` and its key, as files, and beside them the authority that signed it.
fn certify(folder: &Path) -> (PathBuf, PathBuf) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "An authority for tests");
    fs::write(folder.join("authority.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    let (certificate_file, key_file) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate_file, certificate.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    (certificate_file, key_file)
}
