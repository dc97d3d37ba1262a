//! Roles and privileges: what is refused to whom, history and views included.

use super::*;

async fn with_ann() -> (World, Client, Client) {
    let world = World::new().await;
    let mut chief = world.client().await;
    chief.run("CREATE TABLE secrets (id int PRIMARY KEY, v text); INSERT INTO secrets VALUES (1, 'x')").await;
    chief.run("CREATE TABLE open (id int PRIMARY KEY); INSERT INTO open VALUES (1)").await;
    chief.run("CREATE ROLE ann LOGIN; GRANT SELECT ON open TO ann").await;
    let ann = world.open("ann", "chronogate", &[]).await.unwrap();
    (world, chief, ann)
}

#[tokio::test]
async fn a_relation_without_a_grant_is_refused_however_it_is_named() {
    let (_world, _chief, mut ann) = with_ann().await;
    assert_eq!(ann.rows("SELECT id FROM open").await, ["1"]);
    for statement in [
        "SELECT * FROM secrets",
        "SELECT * FROM public.secrets",
        "SELECT * FROM open o JOIN secrets s ON s.id = o.id",
        "SELECT (SELECT v FROM secrets LIMIT 1)",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM secrets)",
        "WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets",
        "SELECT * FROM secrets, (WITH secrets AS (SELECT 1) SELECT * FROM secrets) x",
        "SELECT * FROM secrets__history",
        "SELECT * FROM secrets__changes",
        "EXPLAIN SELECT * FROM secrets",
        "COPY secrets TO STDOUT",
        "COPY (SELECT * FROM secrets) TO STDOUT",
        "INSERT INTO secrets VALUES (2, 'y')",
        "UPDATE secrets SET v = 'z'",
        "DELETE FROM secrets",
        "TRUNCATE secrets",
    ] {
        assert_eq!(ann.refused(statement).await, "42501 permission denied for table secrets", "{statement}");
    }
    assert_eq!(ann.refused("DROP TABLE secrets").await, "42501 must be owner of table secrets");
    assert_eq!(ann.rows("WITH secrets AS (SELECT 5 AS n) SELECT n FROM secrets").await, ["5"]);
}

#[tokio::test]
async fn a_view_shows_what_its_owner_may_read() {
    let (_world, mut chief, mut ann) = with_ann().await;
    chief.run("CREATE VIEW shown AS SELECT id FROM secrets").await;
    assert_eq!(ann.refused("SELECT * FROM shown").await, "42501 permission denied for view shown");
    chief.run("GRANT SELECT ON shown TO ann").await;
    assert_eq!(ann.rows("SELECT id FROM shown").await, ["1"]);
}

#[tokio::test]
async fn grants_are_given_inherited_and_taken_away() {
    let (_world, mut chief, mut ann) = with_ann().await;
    chief.run("CREATE ROLE readers; GRANT SELECT ON secrets TO readers; GRANT readers TO ann").await;
    assert_eq!(ann.rows("SELECT v FROM secrets").await, ["x"]);
    assert!(ann.refused("INSERT INTO secrets VALUES (2, 'y')").await.starts_with("42501"));
    chief.run("REVOKE SELECT ON secrets FROM readers").await;
    assert!(ann.refused("SELECT v FROM secrets").await.starts_with("42501"));
}

#[tokio::test]
async fn only_who_may_makes_things_and_roles() {
    let (_world, mut chief, mut ann) = with_ann().await;
    assert_eq!(ann.refused("CREATE TABLE mine (id int)").await, "42501 permission denied for schema public");
    assert_eq!(ann.refused("CREATE ROLE bob").await, "42501 permission denied to create role");
    assert_eq!(ann.refused("CREATE DATABASE shop").await, "42501 permission denied to create database");
    assert!(ann.refused("ALTER ROLE ann SUPERUSER").await.starts_with("42501"));
    assert!(ann.refused("SET ROLE chief").await.starts_with("42501"));
    assert!(ann.refused("COPY open__history FROM STDIN").await.starts_with("42501"));
    chief.run("GRANT CREATE ON SCHEMA public TO ann").await;
    ann.run("CREATE TABLE mine (id int); DROP TABLE mine").await;
}

#[tokio::test]
async fn set_role_lends_the_rights_of_another_role() {
    let (_world, mut chief, _ann) = with_ann().await;
    assert_eq!(chief.rows("SHOW is_superuser").await, ["on"]);
    chief.run("SET ROLE ann").await;
    assert_eq!(chief.rows("SHOW is_superuser").await, ["off"]);
    assert!(chief.refused("SELECT * FROM secrets").await.starts_with("42501"));
    chief.run("RESET ROLE").await;
    assert_eq!(chief.rows("SELECT v FROM secrets").await, ["x"]);
}

#[tokio::test]
async fn passwords_are_kept_as_verifiers() {
    let (world, mut chief, _ann) = with_ann().await;
    chief.run("ALTER ROLE ann PASSWORD 'sesame'").await;
    let verifier = world.shared.tenancy.role("ann").unwrap().verifier.clone().unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$") && !verifier.contains("sesame"));
    chief.run("ALTER ROLE ann PASSWORD NULL").await;
    assert_eq!(world.shared.tenancy.role("ann").unwrap().verifier, None);
}
