//! The demo's promises: every fixing a commit, loaded once, resumed when interrupted, and questions that work.

use std::path::Path;

use chronogate::server::demo::QUESTIONS;

use crate::harness::{Process, run};
use crate::raw::Raw;

fn demo(folder: &Path) -> Process {
    Process::spawn(&["demo", "--data", folder.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"])
}

fn some(fields: &[&str]) -> Vec<Option<String>> {
    fields.iter().map(|field| Some((*field).to_owned())).collect()
}

#[test]
fn the_demo_is_loaded_once_resumes_and_answers_its_questions() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut interrupted = demo(folder.path());
    interrupted.await_line("30%");
    interrupted.kill();
    let mut resumed = demo(folder.path());
    resumed.await_address();
    run(async {
        let mut raw = Raw::connect(resumed.address(), "chronogate").await.expect("connects");
        let loaded = "SELECT count(*), count(DISTINCT _commit) FROM exchange_rates__history";
        assert_eq!(raw.rows(loaded).await.expect("rows"), [some(&["221702", "7126"])]);
        let ended = "SELECT count(*) FROM exchange_rates__changes WHERE operation = 'DELETE'";
        assert_eq!(raw.rows(ended).await.expect("rows"), [some(&["13"])]);
        // 16:00 in Frankfurt is 14:00 UTC in summer; a rate that did not change is a version all the same.
        let time = "SELECT _system_from, _actor, _reason FROM exchange_rates__history
                    WHERE currency = 'USD' AND fixing_date = '2008-09-15'";
        let expected = some(&["2008-09-15 14:00:00+00", "European Central Bank", "daily reference rates"]);
        assert_eq!(raw.rows(time).await.expect("rows"), [expected]);

        assert_eq!(raw.rows(QUESTIONS[0]).await.expect("rows"), [some(&["USD", "2008-09-15", "1.4151"])]);
        let gone: Vec<_> = raw.rows(QUESTIONS[1]).await.expect("rows").into_iter().filter_map(|row| row[0].clone()).collect();
        assert_eq!(gone, ["BGN", "EEK", "HRK", "LTL", "LVL", "RUB", "SKK"]);
        let moves = raw.rows(QUESTIONS[2]).await.expect("rows");
        assert_eq!(moves.len(), 10);
        assert_eq!(moves[0], some(&["TRL", "2001-02-22", "1050000", "68.17"]));
        assert_eq!(moves[9], some(&["TRL", "2001-04-03", "1096667", "13.64"]));

        let mut past = Raw::connect(resumed.address(), "chronogate@2008-09-15T18:00Z").await.expect("connects");
        let dollar = "SELECT currency, fixing_date, rate FROM exchange_rates WHERE currency = 'USD'";
        assert_eq!(past.rows(dollar).await.expect("rows"), [some(&["USD", "2008-09-15", "1.4151"])]);
        raw.rows("UPDATE exchange_rates SET rate = 2 WHERE currency = 'USD'").await.expect("written today");
    });
    resumed.kill();
    let mut again = demo(folder.path());
    again.await_address();
    run(async {
        let mut raw = Raw::connect(again.address(), "chronogate").await.expect("connects");
        let today = "SELECT rate, _system_from > timestamptz '2026-10-31' FROM exchange_rates WHERE currency = 'USD'";
        assert_eq!(raw.rows(today).await.expect("rows"), [some(&["2", "t"])]);
    });
    again.kill();
    assert!(again.said().iter().all(|line| !line.contains("loading")), "it is loaded once");
}
