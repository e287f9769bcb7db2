//! Precedence, Kafka's own file, and what is refused.

use std::path::PathBuf;
use std::time::Duration;

use drave_protocol::ids::NodeId;

use super::*;
use crate::config::listener::Listener;

fn host_name() -> String {
    "box.example".to_owned()
}

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let mut gathering = Gathering::default();
    gathering.file(Path::new("server.properties"), text)?;
    Ok(Loaded {
        config: BrokerConfig::new(gathering.settings, &host_name)?,
        without_effect: gathering.without_effect,
    })
}

fn refusal(text: &str) -> String {
    load_text(text).unwrap_err().to_string()
}

#[test]
fn a_node_with_no_file_at_all_has_what_it_needs() {
    let config = load(Sources::default(), &host_name).unwrap().config;
    assert_eq!(config.node_id, NodeId(1));
    assert!(config.process_roles.broker && config.process_roles.controller);
    assert_eq!(
        config.client_listeners,
        [Listener::new("PLAINTEXT", "localhost", 9092)]
    );
    assert_eq!(
        config.controller_listener,
        Listener::new("CONTROLLER", "localhost", 9093)
    );
    assert_eq!(
        config.http_listener,
        Some(Listener::new("HTTP", "localhost", 9640))
    );
    assert_eq!(config.advertised_listeners, config.client_listeners);
    assert_eq!(
        config.controller_quorum_voters,
        [(NodeId(1), "localhost:9093".to_owned())]
    );
    assert_eq!(config.log_dirs, [PathBuf::from("drave-data")]);
    assert_eq!(config.metadata_log_dir, PathBuf::from("drave-data"));
}

#[test]
fn kafkas_own_file_loads_unedited() {
    let stock = include_str!("../../tests/golden/kafka-server.properties");
    let loaded = load_text(stock).unwrap();
    let config = &loaded.config;
    assert_eq!(
        config.client_listeners,
        [Listener::new("PLAINTEXT", "", 9092)]
    );
    assert_eq!(
        config.controller_listener,
        Listener::new("CONTROLLER", "", 9093)
    );
    assert_eq!(
        config.advertised_listeners,
        [Listener::new("PLAINTEXT", "localhost", 9092)]
    );
    assert_eq!(
        config.advertised_controller_listener.address(),
        "localhost:9093"
    );
    assert_eq!(
        config.controller_quorum_bootstrap_servers,
        ["localhost:9093"]
    );
    assert_eq!(config.log_retention, Some(Duration::from_hours(168)));
    assert!(loaded.without_effect.contains(&"num.io.threads".to_owned()));
    assert!(!loaded.without_effect.contains(&"num.partitions".to_owned()));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "writes the file that is loaded")]
fn the_later_source_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.properties");
    std::fs::write(
        &path,
        "node.id=1\nnum.partitions=1\nlog.retention.ms=9\nbroker.rack=a\n",
    )
    .unwrap();
    let environment = [
        ("DRAVE_NUM_PARTITIONS", "2"),
        ("DRAVE_NODE_ID", "2"),
        ("DRAVE_LOG_RETENTION_HOURS", "1"),
        ("DRAVE_LOG", "debug"),
        ("PATH", "/bin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let command_line = ["num.partitions=3".to_owned()];
    let sources = Sources {
        file: Some(&path),
        environment: &environment,
        command_line: &command_line,
    };
    let config = load(sources, &host_name).unwrap().config;
    assert_eq!(config.broker_rack.as_deref(), Some("a"));
    assert_eq!(config.node_id, NodeId(2));
    assert_eq!(config.num_partitions, 3);
    assert_eq!(config.log_retention, Some(Duration::from_hours(1)));
}

#[test]
fn within_a_source_the_finer_unit_wins_and_minus_one_keeps_its_meaning() {
    let text = "log.retention.ms=5\nlog.retention.minutes=1\nlog.retention.hours=1\n";
    assert_eq!(
        load_text(text).unwrap().config.log_retention,
        Some(Duration::from_millis(5))
    );
    let text = "log.retention.hours=1\nlog.retention.minutes=2\n";
    assert_eq!(
        load_text(text).unwrap().config.log_retention,
        Some(Duration::from_mins(2))
    );
    assert_eq!(
        load_text("log.retention.hours=-1")
            .unwrap()
            .config
            .log_retention,
        None
    );
}

#[test]
fn an_unknown_name_is_refused_with_its_line_and_the_nearest() {
    assert_eq!(
        refusal("node.id=1\nnum.partition=3\n"),
        "server.properties:2: unknown name \"num.partition\"; did you mean \"num.partitions\"?"
    );
    let environment = [("DRAVE_NODE_IDD".to_owned(), "1".to_owned())];
    let sources = Sources {
        environment: &environment,
        ..Sources::default()
    };
    let error = load(sources, &host_name).unwrap_err().to_string();
    assert!(
        error.ends_with("did you mean \"DRAVE_NODE_ID\"?"),
        "{error}"
    );
}

#[test]
fn a_value_out_of_bounds_is_refused_with_the_bounds() {
    assert_eq!(
        refusal("num.partitions=0"),
        "num.partitions = \"0\": must be 1 or more"
    );
    assert!(refusal("num.partitions=many").contains("expected a whole number"));
    assert!(refusal("broker.session.timeout.ms=300").contains("at least twice"));
}

#[test]
fn an_unspecified_address_is_never_advertised() {
    let error = refusal("advertised.listeners=PLAINTEXT://0.0.0.0:9092");
    assert!(error.contains("would connect to itself"), "{error}");
    for bound in [
        "PLAINTEXT://:9092",
        "PLAINTEXT://0.0.0.0:9092",
        "PLAINTEXT://[::]:9092",
    ] {
        let config = load_text(&format!("listeners={bound}")).unwrap().config;
        assert_eq!(
            config.advertised_listeners[0].host, "box.example",
            "{bound}"
        );
        assert_eq!(
            config.advertised_controller_listener.host, "box.example",
            "{bound}"
        );
        assert_eq!(config.controller_listener.port, 9093, "{bound}");
    }
}

#[test]
fn a_listener_that_needs_more_than_plaintext_is_refused() {
    let error = refusal("listeners=SASL_SSL://localhost:9092");
    assert!(error.contains("serves only PLAINTEXT"), "{error}");
    let error = refusal("listeners=INSIDE://localhost:9092");
    assert!(error.contains("add INSIDE:PLAINTEXT"), "{error}");
    let map = "listener.security.protocol.map=INSIDE:PLAINTEXT\nlisteners=inside://h:1";
    let config = load_text(map).unwrap().config;
    assert_eq!(config.inter_broker_listener_name, "INSIDE");
    assert!(refusal("authorizer.class.name=a.b.C").contains("leave open"));
}

#[test]
fn the_quorum_is_read_and_checked() {
    let voters = "node.id=2\ncontroller.quorum.voters=1@a:1,2@b:2\n";
    let config = load_text(voters).unwrap().config;
    assert_eq!(
        config.controller_quorum_voters,
        [(NodeId(1), "a:1".to_owned()), (NodeId(2), "b:2".to_owned())]
    );
    assert!(refusal("node.id=3\ncontroller.quorum.voters=1@a:1").contains("but not named"));
    assert!(refusal("controller.quorum.voters=a:1").contains("id@host:port"));
    assert!(refusal("controller.quorum.bootstrap.servers=localhost").contains("host:port"));
    assert!(refusal("process.roles=broker").contains("where the controllers are"));
}

#[test]
fn port_zero_stays_zero_everywhere() {
    let config = load_text("listeners=PLAINTEXT://127.0.0.1:0")
        .unwrap()
        .config;
    assert_eq!(config.controller_listener.port, 0);
    assert_eq!(config.http_listener.unwrap().port, 0);
    assert_eq!(config.advertised_listeners[0].port, 0);
}

#[test]
fn roles_decide_which_listeners_are_opened() {
    let pure = "process.roles=controller\nnode.id=9\ncontroller.quorum.voters=9@localhost:9093\n";
    let config = load_text(pure).unwrap().config;
    assert!(config.client_listeners.is_empty());
    assert_eq!(config.controller_listener.port, 9093);
    let text = format!("{pure}listeners=PLAINTEXT://:9092\n");
    assert!(refusal(&text).contains("names no broker"));
    assert!(refusal("listeners=CONTROLLER://:9093").contains("a broker needs a listener"));
}
