//! The files in `docker/` hold together: what they name is there, and the configuration in them is one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chronogate::config::ConfigFile;
use chronogate::config::deployment::Databases;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"))
}

fn compose() -> Value {
    let documents = Yaml::load_from_str(&read("compose.yaml")).expect("YAML");
    json(documents.first().expect("a document"))
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(members) => {
            let member = |(name, value): (&Yaml<'_>, &Yaml<'_>)| (name.as_str().expect("a name").to_owned(), json(value));
            Value::Object(members.iter().map(member).collect())
        }
        Yaml::Value(Scalar::String(text)) => Value::String(text.to_string()),
        Yaml::Value(Scalar::Boolean(value)) => Value::Bool(*value),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::Null) => Value::Null,
        other => panic!("{other:?} has no place in a composition"),
    }
}

fn names(section: &Value) -> BTreeSet<&str> {
    section.as_object().expect("a mapping").keys().map(String::as_str).collect()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().expect("a text"))
}

#[test]
fn a_composition_names_only_what_it_has() {
    let compose = compose();
    let (services, volumes, secrets) = (names(&compose["services"]), names(&compose["volumes"]), names(&compose["secrets"]));
    for (name, service) in compose["services"].as_object().expect("a mapping") {
        assert!(service["image"].is_string() != service["build"].is_object(), "{name} is pulled or built");
        for other in service["depends_on"].as_object().into_iter().flatten() {
            let condition = other.1["condition"].as_str().expect("a condition");
            assert!(services.contains(other.0.as_str()), "{name} waits for {}, which is not there", other.0);
            let other = &compose["services"][other.0];
            match condition {
                "service_healthy" => assert!(other["healthcheck"].is_object(), "{name} waits for health that nothing checks"),
                "service_completed_successfully" => assert_eq!(other["restart"], "no", "{name} waits for what never ends"),
                other => panic!("{name}: {other} is no condition"),
            }
        }
        for volume in texts(&service["volumes"]) {
            let (from, _) = volume.split_once(':').expect("FROM:TO");
            match from.starts_with('.') {
                true => assert!(folder().join(from).exists(), "{name} mounts {from}, which is not there"),
                false => assert!(volumes.contains(from), "{name} mounts {from}, which is no volume"),
            }
        }
        for secret in texts(&service["secrets"]) {
            assert!(secrets.contains(secret), "{name} wants the secret {secret}");
        }
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port} beyond this machine");
        }
    }
}

#[test]
fn the_gateway_of_the_composition_is_configured_for_its_servers() {
    let compose = compose();
    let ConfigFile::Deployment(deployment) = ConfigFile::read(&folder().join("chronos.json")).expect("valid") else {
        panic!("not a deployment's configuration");
    };
    assert_eq!(deployment.warnings, [""; 0]);
    let Databases::Named(databases) = &deployment.databases else { panic!("databases are named") };
    assert!(databases.iter().any(|database| database.name == "acme"), "the database of the first line");
    let text = read("chronos.json");
    let gateway = &compose["services"]["chronogate"];
    for (name, _) in gateway["environment"].as_object().expect("a mapping") {
        assert!(text.contains(&format!("\"$env\": \"{name}\"")), "{name} is given and not used");
    }
    for used in text.split("\"$env\": \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(gateway["environment"][used].is_string(), "{used} is used and not given");
    }
    let services = names(&compose["services"]);
    let uri = gateway["environment"]["MONGO_URI"].as_str().expect("a connection string");
    let hosts = uri.trim_start_matches("mongodb://").split('/').next().expect("hosts");
    assert!(hosts.split(',').all(|host| services.contains(host.trim_end_matches(":27017"))), "{uri}");
    assert!(deployment.own.listen.0.ends_with(":5433"), "the port that is published");
}

#[test]
fn the_image_is_built_from_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for line in read("Dockerfile").lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let (_, sources) = words.split_last().expect("a target");
        for source in sources {
            assert!(root.join(source).exists(), "{line}: {source} is not there");
        }
    }
}
