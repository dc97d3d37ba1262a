//! Deployments that the library wrote, opened in place: what SQL says of them is what the library's own reading of
//! them said (`expected.json`), and what the format's description says where the two differ.

mod answers;
mod checking;
mod copying;
// The tests of the store use the rest of it.
#[allow(dead_code)]
mod format;
mod indexes;
#[cfg(target_os = "linux")]
mod large;
mod proxy;
mod races;
mod round_trips;
mod sample;
pub mod servers;
mod shared;
mod together;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use chronogate::runtime::{Entropy, SystemEntropy};
use serde_json::Value;
use tokio_postgres::Client;

use self::sample::Sample;
use self::servers::{Mongo, S3};
use crate::harness::{TestServer, connect, run, run_for, sized};

/// A deployment that is served.
struct Served {
    server: TestServer,
    sample: Sample,
    /// The file that configures it.
    config: PathBuf,
    mongo: Mongo,
    _s3: Option<S3>,
}

impl Served {
    async fn start(name: &str, over_s3: bool) -> Self {
        let (sample, mongo) = (Sample::unpack(name), Mongo::own().await);
        let s3 = match over_s3 {
            true => Some(S3::over(sample.folder.join("payload")).await),
            false => None,
        };
        let (uri, endpoint) = (mongo.uri.clone(), s3.as_ref().map(S3::endpoint));
        Self::of(sample, mongo, s3, (&uri, endpoint.as_deref())).await
    }

    /// The servers as they are, reached under these names.
    async fn of(sample: Sample, mongo: Mongo, s3: Option<S3>, (uri, endpoint): (&str, Option<&str>)) -> Self {
        sample.load(&mongo.client().await, "").await;
        let config = sample.configure(uri, endpoint);
        let server = TestServer::of_deployment(&config).await;
        Self { server, sample, config, mongo, _s3: s3 }
    }

    async fn connect(&self, database: &str) -> Client {
        connect(self.server.config().dbname(database)).await.expect("connects")
    }

    fn contexts(&self) -> Vec<Context> {
        self.sample.expected["contexts"].as_array().expect("contexts").iter().map(Context::of).collect()
    }
}

/// One collection as `expected.json` names it, and the table it is.
struct Context {
    key: String,
    database: String,
    table: String,
}

impl Context {
    fn of(context: &Value) -> Self {
        let text = |member: &str| context[member].as_str().unwrap_or_default().to_owned();
        let collection = text("collection");
        let (database, schema) = match (text("databaseType").as_str(), text("tier").as_str()) {
            ("runtime", _) => (text("tenantId"), "public".to_owned()),
            (kind @ ("metadata" | "knowledge"), "generic") => ("shared".to_owned(), kind.to_owned()),
            // 1.x: databases go by their MongoDB names.
            _ => (text("dbName"), "public".to_owned()),
        };
        Self { key: text("key"), database, table: format!("\"{schema}\".\"{collection}\"") }
    }

    fn suffixed(&self, suffix: &str) -> String {
        format!("{}{suffix}\"", self.table.trim_end_matches('"'))
    }
}

#[test]
fn a_deployment_with_payloads_in_folders_reads_as_the_library_reads_it() {
    run(async { answers::check(&Served::start("main", false).await).await });
}

#[test]
fn a_deployment_with_payloads_in_s3_reads_as_the_library_reads_it() {
    run(async { answers::check(&Served::start("s3-sample", true).await).await });
}

#[test]
fn a_deployment_of_the_first_version_reads_as_the_library_reads_it() {
    run(async { answers::check(&Served::start("v1-sample", false).await).await });
}

#[test]
fn items_that_writers_raced_for_read_as_their_documents_say() {
    run(async { races::check(&Served::start("race-sample", false).await).await });
}

#[test]
fn a_copied_deployment_answers_without_its_servers() {
    run(async { copying::check(&Served::start("main", false).await).await });
}

#[test]
fn gateways_and_the_library_write_to_one_collection_at_once() {
    let writes = sized("CHRONOGATE_TEST_WRITES", 0);
    run_for(Duration::from_secs(300 + writes as u64 / 4), async {
        let served = Served::start("main", false).await;
        together::check(&served, SystemEntropy.next_u64() % 1_000_000).await;
    });
}

#[test]
fn a_read_costs_one_call_of_the_index_and_one_of_the_payloads() {
    run(round_trips::reads());
}

#[test]
fn commits_of_many_sessions_travel_together() {
    run(round_trips::commits());
}

#[test]
#[cfg(target_os = "linux")]
fn a_scan_of_many_documents_holds_few_of_them() {
    let heads = sized("CHRONOGATE_TEST_HEADS", 0);
    run_for(Duration::from_secs(300 + heads as u64 / 200), large::check());
}

#[test]
fn rows_written_in_sql_are_documents_in_folders() {
    run(async {
        let served = Served::start("main", false).await;
        writes::check(&served).await;
        shared::check(&served, "acme_rt", true).await;
    });
}

#[test]
fn members_of_documents_are_indexed() {
    run(async { indexes::check(&Served::start("main", false).await).await });
}

#[test]
fn rows_written_in_sql_are_documents_in_s3() {
    run(async {
        let served = Served::start("s3-sample", true).await;
        writes::check(&served).await;
        shared::check(&served, "acme_s3_rt", false).await;
    });
}
