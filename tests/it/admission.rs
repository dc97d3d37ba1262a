//! Who is let in, and how: passwords, TLS, databases, limits, addresses.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chronogate::config::Tls;
use chronogate::runtime::SystemClock;
use chronogate::server::Running;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::ServerName};

use crate::harness::{TestServer, code, connect, password, run, settings};
use crate::raw::{Raw, tags};

#[test]
fn startup_tells_settings_and_a_key_before_it_is_ready() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::open(server.address()).await;
        raw.startup(&[("user", "chronogate"), ("application_name", "probe"), ("options", "-c statement_timeout=7s")]).await;
        let said = raw.until_ready().await;
        assert_eq!((said[0].tag, said[0].body.as_slice()), ('R', &[0, 0, 0, 0][..]));
        let told: Vec<String> =
            said.iter().filter(|m| m.tag == 'S').map(|m| String::from_utf8_lossy(&m.body).into_owned()).collect();
        for setting in ["server_version\0", "client_encoding\0UTF8\0", "application_name\0probe\0", "integer_datetimes\0on\0"] {
            assert!(told.iter().any(|t| t.starts_with(setting)), "{setting:?} in {told:?}");
        }
        assert!(tags(&said).ends_with("KZ"));
        assert_eq!(raw.rows("SHOW statement_timeout").await.expect("rows"), [[Some("7s".to_owned())]]);
        server.stop().await;
    });
}

#[test]
fn without_any_password_this_machine_is_trusted_and_others_are_not_listened_to() {
    run(async {
        let server = TestServer::start().await;
        server.connect().await;
        let unknown = connect(server.config().user("nobody")).await;
        assert_eq!(code(unknown), "28000");

        let folder = tempfile::tempdir().expect("a folder");
        let mut open = settings(folder.path(), Arc::new(SystemClock));
        open.listen = "0.0.0.0:0".to_owned();
        let refused = Running::start(&open).await.err().expect("refused").to_string();
        assert!(refused.contains("without a password"), "{refused}");
        open.superuser_password = password("secret");
        Running::start(&open).await.expect("starts").stop().await.expect("stops");
        server.stop().await;
    });
}

#[test]
fn once_a_password_is_set_everybody_needs_theirs() {
    run(async {
        let server = TestServer::start_with(|settings| settings.superuser_password = password("open sesame")).await;
        connect(server.config().password("open sesame")).await.expect("the right password");
        for (user, given) in [("chronogate", "wrong"), ("chronogate", ""), ("nobody", "open sesame"), ("no'body\"", "x")] {
            let refused = connect(server.config().user(user).password(given)).await;
            let error = refused.err().unwrap_or_else(|| panic!("{user} {given:?} was let in"));
            let error = error.as_db_error().expect("told by the server");
            assert_eq!(error.code().code(), "28P01", "{user} {given:?}");
            assert_eq!(error.message(), format!("password authentication failed for user \"{user}\""));
        }
        server.stop().await;
    });
}

#[test]
fn a_role_without_login_or_password_is_not_let_in() {
    run(async {
        let server = TestServer::start().await;
        let client = server.connect().await;
        client
            .batch_execute("CREATE ROLE reader LOGIN; CREATE ROLE writers; CREATE ROLE w LOGIN PASSWORD 'pw'")
            .await
            .expect("roles");
        connect(server.config().user("w").password("pw")).await.expect("its password");
        for user in ["reader", "writers", "chronogate"] {
            assert_eq!(code(connect(server.config().user(user).password("pw")).await), "28P01", "{user}");
        }
        server.stop().await;
    });
}

#[test]
fn an_unknown_user_looks_like_a_known_one_until_the_end() {
    run(async {
        let server = TestServer::start_with(|settings| settings.superuser_password = password("secret")).await;
        let first = async |user: &str| {
            let mut raw = Raw::open(server.address()).await;
            raw.startup(&[("user", user)]).await;
            let offer = raw.next().await.expect("an offer");
            let hello = b"n,,n=,r=abcdefghij";
            let body = [&b"SCRAM-SHA-256\0"[..], &(hello.len() as i32).to_be_bytes(), hello].concat();
            raw.send(&crate::raw::message('p', &body)).await;
            let answer = String::from_utf8(raw.next().await.expect("an answer").body[4..].to_vec()).expect("text");
            let salt = answer.split(',').find_map(|part| part.strip_prefix("s=")).expect("a salt").to_owned();
            let rounds = answer.split(',').find_map(|part| part.strip_prefix("i=")).expect("a count").to_owned();
            (offer, salt, rounds)
        };
        let (known, nobody, again) = (first("chronogate").await, first("nobody").await, first("nobody").await);
        assert_eq!(known.0, nobody.0);
        assert_eq!((known.1.len(), &known.2), (nobody.1.len(), &nobody.2));
        assert_eq!(nobody.1, again.1, "the salt of an unknown user does not change");
        server.stop().await;
    });
}

#[test]
fn an_unknown_database_is_refused() {
    run(async {
        let server = TestServer::start().await;
        assert_eq!(code(connect(server.config().dbname("nowhere")).await), "3D000");
        server.connect().await;
        server.stop().await;
    });
}

#[test]
fn the_client_after_the_last_is_told_and_a_place_that_comes_free_is_given() {
    run(async {
        let server = TestServer::start_with(|settings| settings.limits.max_connections = 2).await;
        let first = server.connect().await;
        let _second = server.connect().await;
        assert_eq!(code(connect(&server.config()).await), "53300");
        drop(first);
        for _ in 0..100 {
            if connect(&server.config()).await.is_ok() {
                return server.stop().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the place never came free");
    });
}

#[test]
fn a_client_that_never_says_who_it_is_is_dropped() {
    run(async {
        let server = TestServer::start_with(|settings| settings.limits.authentication_timeout_s = 1).await;
        let mut raw = Raw::open(server.address()).await;
        assert!(raw.rest().await.is_empty());
        server.stop().await;
    });
}

struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate for `localhost`, made on the spot so that it is always valid.
fn self_signed(folder: &Path) -> Certificate {
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Certificate { certificate, key }
}

async fn with_tls() -> (TestServer, Certificate, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = self_signed(folder.path());
    let server = TestServer::start_with(|settings| {
        settings.tls = Some(Tls { certificate: made.certificate.clone(), key: made.key.clone(), required: false });
        settings.superuser_password = password("secret");
    })
    .await;
    (server, made, folder)
}

fn connector(made: &Certificate) -> TlsConnector {
    let pem = std::fs::read(&made.certificate).expect("there");
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut pem.as_slice()) {
        roots.add(certificate.expect("valid")).expect("fit");
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[test]
fn tls_is_spoken_by_those_who_ask_and_psql_binds_its_password_to_it() {
    run(async {
        let (server, made, _folder) = with_tls().await;
        let port = server.address().port();
        let psql = move |extra: &str| {
            let line = format!(
                "host=localhost hostaddr=127.0.0.1 port={port} user=chronogate dbname=chronogate password=secret {extra}"
            );
            let output = Command::new("psql").args(["-XAtc", "SELECT 1", &line]).output().expect("psql runs");
            (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let root = made.certificate.display().to_string();
        let cases = [
            "sslmode=disable".to_owned(),
            "sslmode=require".to_owned(),
            format!("sslmode=verify-full sslrootcert={root}"),
            "sslmode=require channel_binding=require".to_owned(),
        ];
        for case in cases {
            let (out, err) = tokio::task::spawn_blocking({
                let case = case.clone();
                move || psql(&case)
            })
            .await
            .expect("ran");
            assert_eq!(out, "1\n", "{case}: {err}");
        }
        server.stop().await;
    });
}

#[test]
fn direct_tls_needs_the_protocols_name() {
    run(async {
        let (server, made, _folder) = with_tls().await;
        let socket = tokio::net::TcpStream::connect(server.address()).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector(&made).connect(name, socket).await.expect("a handshake");
        let mut config = server.config();
        config.password("secret");
        let (client, connection) = config.connect_raw(stream, tokio_postgres::NoTls).await.expect("connects");
        tokio::spawn(connection);
        let row = client.query_one("SELECT 1", &[]).await.expect("a row");
        assert_eq!(row.get::<_, i32>(0), 1);
        server.stop().await;
    });
}

#[test]
fn bytes_smuggled_in_before_the_handshake_end_the_connection() {
    run(async {
        let (server, _made, _folder) = with_tls().await;
        let mut raw = Raw::open(server.address()).await;
        let request = [8i32.to_be_bytes(), 80_877_103i32.to_be_bytes()].concat();
        raw.send(&[request, crate::raw::query("SELECT 1")].concat()).await;
        let said = raw.rest().await;
        assert_eq!(said[0].error().expect("an error").code(), "08P01");
        server.stop().await;
    });
}
