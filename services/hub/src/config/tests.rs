use super::*;

#[test]
fn the_explained_default_reads_back_as_the_default() {
    let text = explain(&Config::default());
    assert_eq!(parse(&text), Ok(Config::default()), "{text}");
}

#[test]
fn a_changed_configuration_survives_being_explained() {
    let mut config = Config::default();
    config.top.unit_lists = vec!["units \"a\".csv".into(), "b.csv".into()];
    config.tls.mode = "off".to_owned();
    config.telemetry.otlp_endpoint = Some("http://127.0.0.1:4317".to_owned());
    config.telemetry.prometheus_listen = Some("[::1]:9464".parse().expect("an address"));
    config.quality.clean_min = 0.5;
    assert_eq!(parse(&explain(&config)), Ok(config));
}

#[test]
fn every_example_of_an_optional_key_is_taken() {
    let text = explain(&Config::default());
    let enabled = text.replace("# otlp_endpoint", "otlp_endpoint").replace("# prometheus_listen", "prometheus_listen");
    let config = parse(&enabled).expect("the examples are well formed");
    assert!(config.telemetry.otlp_endpoint.is_some() && config.telemetry.prometheus_listen.is_some());
}

#[test]
fn every_key_says_what_it_means_and_every_number_its_bounds() {
    for key in Config::default().keys() {
        assert!(key.doc.iter().any(|line| line.trim().ends_with('.')), "{}", key.path());
        let is_number = key.value.as_ref().is_some_and(|value| value.is_integer() || value.is_float());
        assert!(!is_number || matches!(key.bounds, Bounds::Whole { .. } | Bounds::Share), "{}", key.path());
        assert_eq!(key.value.as_ref().and_then(|value| key.bounds.violation(value)), None, "{}", key.path());
    }
}

#[test]
fn both_ends_of_every_bound_are_taken_and_what_lies_beyond_is_not() {
    for key in Config::default().keys() {
        let Bounds::Whole { min, max, .. } = key.bounds else { continue };
        let with = |value: i64| parse(&format!("[{}]\n{} = {value}\n", key.section, key.name));
        assert!(with(min).is_ok() && with(max).is_ok(), "{}", key.path());
        for beyond in [min - 1, max + 1] {
            let fault = with(beyond).expect_err("out of bounds");
            assert_eq!((fault.line, fault.key), (2, Some(key.path())));
        }
    }
}

#[test]
fn every_fault_names_its_line_and_key() {
    let table = [
        ("data_dir = \n", 1, None, ""),
        ("\nport = 1\n", 2, Some("port"), "no such key"),
        ("[grpc]\n\nlisten = \"everywhere\"\n", 3, Some("grpc.listen"), "socket address"),
        ("[grpc]\nlisten = 7\n", 2, Some("grpc.listen"), "invalid type"),
        ("[grpc]\nport = 1\n", 2, Some("grpc.port"), "no such key"),
        ("[kafka]\nx = 1\n", 1, Some("kafka"), "no such key"),
        ("log = 3\n", 1, Some("log"), "section"),
        ("[tls]\nmode = \"none\"\n", 2, Some("tls.mode"), "one of mutual, off"),
        ("[quality]\nclean_min = 1.5\n", 2, Some("quality.clean_min"), "0.0 to 1.0"),
        ("trust_domain = \"\"\n", 1, Some("trust_domain"), "empty"),
        ("[store]\nkind = \"fjall\"\nkind = \"sled\"\n", 3, None, "duplicate"),
    ];
    for (text, line, key, what) in table {
        let fault = parse(text).expect_err(text);
        assert_eq!((fault.line, fault.key.as_deref()), (line, key), "{text}: {fault}");
        assert!(fault.what.contains(what), "{text}: {fault}");
    }
}

#[test]
fn relative_paths_start_in_the_data_directory() {
    let config = parse("data_dir = \"/srv/hub\"\n[tls]\nkey = \"/etc/hub.key\"\n").expect("well formed");
    let certs = config.server_certs();
    assert_eq!(certs.cert, Path::new("/srv/hub/dev-certs/server.pem"));
    assert_eq!(certs.key, Path::new("/etc/hub.key"));
}
