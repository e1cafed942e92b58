//! HTTPS: both versions of HTTP, and certificates that are renewed while it serves.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside a test function"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use gorgone_integration_tests::{Node, NodeOptions, eventually};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

/// A certificate for this host with a name to tell it by, and its key.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    fs::write(folder.join("cert.pem"), certificate).unwrap();
    fs::write(folder.join("key.pem"), key).unwrap();
}

struct Door {
    node: Node,
    files: tempfile::TempDir,
}

impl Door {
    async fn start(first: &(String, String)) -> Self {
        let files = tempfile::tempdir().unwrap();
        write(files.path(), first);
        let shown = files.path().display();
        let node = Node::start_with(NodeOptions {
            http: Some(format!(
                "    ssl: true\n    ssl_cert_file: {shown}/cert.pem\n    ssl_key_file: {shown}/key.pem\n"
            )),
            ..NodeOptions::default()
        })
        .await;
        Self { node, files }
    }

    /// What curl says that trusts this certificate only: the status, the version of HTTP.
    fn curl(&self, trusted: &str, args: &[&str]) -> Option<String> {
        let file = self.files.path().join("trusted.pem");
        fs::write(&file, trusted).unwrap();
        let output = Command::new("curl")
            .args([
                "--silent",
                "--max-time",
                "20",
                "--user",
                "test:secret",
                "--output",
                "/dev/null",
            ])
            .args(["--write-out", "%{http_code} %{http_version}", "--cacert"])
            .arg(file)
            .args(args)
            .arg(format!(
                "https://{}/api/internal/constatus",
                self.node.http()
            ))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(text)
    }
}

#[tokio::test]
async fn both_versions_of_http_are_served_over_tls() {
    let pair = pair("first");
    let door = Door::start(&pair).await;
    assert_eq!(door.curl(&pair.0, &["--http2"]).as_deref(), Some("200 2"));
    assert_eq!(
        door.curl(&pair.0, &["--http1.1"]).as_deref(),
        Some("200 1.1")
    );
    let large = door.files.path().join("large");
    fs::write(&large, vec![b'x'; 9 << 20]).unwrap();
    let large = format!("@{}", large.display());
    for version in ["--http2", "--http1.1"] {
        let refused = door.curl(&pair.0, &[version, "--data-binary", &large]);
        assert!(
            refused.is_some_and(|text| text.starts_with("404")),
            "{version}"
        );
    }
    // Who speaks in clear, or nonsense, is nobody's trouble.
    for nonsense in ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\u{0}\u{0}"] {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(door.node.http()).unwrap();
        stream.write_all(nonsense.as_bytes()).unwrap();
    }
    assert_eq!(door.curl(&pair.0, &[]).as_deref(), Some("200 2"));
}

#[tokio::test]
async fn renewed_certificate_is_taken_by_itself_and_a_bad_one_is_not() {
    let (first, second, third) = (pair("first"), pair("second"), pair("third"));
    let door = Door::start(&first).await;
    assert!(door.curl(&first.0, &[]).is_some());
    write(door.files.path(), &second);
    eventually("the second is served", async || {
        door.curl(&second.0, &[]).is_some()
    })
    .await;
    assert!(
        door.curl(&first.0, &[]).is_none(),
        "and the first is not any more"
    );
    // A certificate without its key, and one that is none.
    fs::write(door.files.path().join("cert.pem"), &third.0).unwrap();
    eventually("it is told", async || {
        door.node
            .log()
            .contains("the new certificate cannot be used; the old one stays")
    })
    .await;
    assert!(door.curl(&second.0, &[]).is_some());
    fs::write(door.files.path().join("cert.pem"), "nonsense").unwrap();
    eventually("it is told", async || {
        door.node.log().contains("cannot read")
    })
    .await;
    assert!(door.curl(&second.0, &[]).is_some());
    // As an orchestrator does it: files elsewhere, and a link that is put in the old one's place.
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), &third);
    for name in ["cert.pem", "key.pem"] {
        let link = door.files.path().join(format!("{name}.new"));
        std::os::unix::fs::symlink(elsewhere.path().join(name), &link).unwrap();
        fs::rename(&link, door.files.path().join(name)).unwrap();
    }
    eventually("the third is served", async || {
        door.curl(&third.0, &[]).is_some()
    })
    .await;
}

#[test]
fn certificate_that_cannot_be_used_is_refused_at_the_start() {
    let files = tempfile::tempdir().unwrap();
    let ((certificate, _), (_, key)) = (pair("a"), pair("b"));
    write(files.path(), &(certificate, key));
    let config = files.path().join("gorgoned.yml");
    let shown = files.path().display();
    let text = format!(
        "gorgonecore:\n  internal_com_type: ipc\n  internal_com_path: {shown}/bus.ipc\n\
         modules:\n  - name: httpserver\n    enable: true\n    port: 0\n    metrics_port: 0\n    ssl: true\n    \
         ssl_cert_file: {shown}/cert.pem\n    ssl_key_file: {shown}/key.pem\n    \
         users: [{{ name: a, password: b }}]\n"
    );
    fs::write(&config, text).unwrap();
    let output = Node::program("gorgone-httpserver")
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("modules.httpserver.ssl_cert_file and ssl_key_file"),
        "{told}"
    );
}
