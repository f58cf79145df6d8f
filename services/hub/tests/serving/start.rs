//! What keeps a hub from starting: one line and an exit code.

use std::os::unix::fs::PermissionsExt as _;

use crate::hub::{Hub, configured, run, stderr};

/// The last line, which is the reason; what comes before are log lines.
fn reason(output: &std::process::Output) -> String {
    let text = stderr(output);
    assert_eq!(text.lines().filter(|line| line.starts_with("hub: ")).count(), 1, "{text}");
    text.lines().last().expect("a reason").to_owned()
}

#[test]
fn a_damaged_configuration_keeps_it_from_starting() {
    let dir = configured();
    std::fs::write(dir.path().join("hub.toml"), "[grpc]\nlisten = 7443\n").expect("writable");
    let ended = run(dir.path(), &["serve", "--config", "hub.toml"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(reason(&ended).starts_with("hub: hub.toml:2: grpc.listen"), "{}", stderr(&ended));
}

#[test]
fn a_port_in_use_is_named() {
    let dir = configured();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = run(dir.path(), &["serve", "--config", "hub.toml", "--dev-certs", "--listen", &address]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(reason(&ended).contains(&format!("cannot listen on {address}")), "{}", stderr(&ended));
    assert!(!dir.path().join("d/log").exists(), "nothing is begun");
}

#[test]
fn two_hubs_do_not_share_a_directory() {
    let dir = configured();
    let hub = Hub::start(dir.path());
    let second = run(dir.path(), &["serve", "--config", "hub.toml"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        reason(&second).contains(&format!("in use by the hub with process number {}", hub.process())),
        "{}",
        stderr(&second)
    );
    assert_eq!(hub.folded()["records"], 0, "the first goes on");
}

#[test]
fn missing_certificates_are_named() {
    let dir = configured();
    let ended = run(dir.path(), &["serve", "--config", "hub.toml"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(reason(&ended).contains("dev-certs"), "{}", stderr(&ended));
}

#[test]
fn a_log_without_its_secret_is_refused() {
    let dir = configured();
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0));
    let secret = dir.path().join("d/secret/log");
    assert_eq!(std::fs::metadata(&secret).expect("a secret").permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read(&secret).expect("readable");
    std::fs::remove_file(&secret).expect("there");
    let missing = run(dir.path(), &["serve", "--config", "hub.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(reason(&missing).contains("secret/log is missing"), "{}", stderr(&missing));

    std::fs::write(&secret, [7; 32]).expect("writable");
    let other = run(dir.path(), &["serve", "--config", "hub.toml"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(reason(&other).contains("another secret"), "{}", stderr(&other));

    std::fs::write(&secret, kept).expect("writable");
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0));
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = configured();
    std::fs::write(dir.path().join("file"), "").expect("writable");
    let certs = run(dir.path(), &["dev-certs", "--config", "hub.toml"]);
    assert_eq!(certs.status.code(), Some(0), "{}", stderr(&certs));
    let certs = std::fs::canonicalize(dir.path().join("d/dev-certs")).expect("made");
    let tls = format!(
        "[tls]\ncert = \"{0}/server.pem\"\nkey = \"{0}/server.key\"\nclient_ca = \"{0}/ca.pem\"\n",
        certs.display()
    );
    std::fs::write(dir.path().join("hub.toml"), format!("{}{tls}", crate::hub::CONFIG)).expect("writable");
    let ended = run(dir.path(), &["serve", "--config", "hub.toml", "--data-dir", "file/x"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(reason(&ended).contains("file/x"), "{}", stderr(&ended));
}

#[test]
fn emptied_views_are_folded_again_and_the_log_says_so() {
    let dir = configured();
    assert_eq!(Hub::start(dir.path()).stop().code(), Some(0));
    let views = dir.path().join("d/views/1");
    for entry in std::fs::read_dir(&views).expect("views") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            std::fs::remove_dir_all(&path).expect("removable");
        }
    }
    let hub = Hub::start(dir.path());
    let status = hub.folded();
    assert!(status["folded"]["control/0"].as_u64() > Some(5), "{status}");
    assert_eq!(hub.json(&["views", "verify"])["equal"], true);
    let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("a log");
    assert!(log.contains("discarded and folded again"), "{log}");
}
