//! Databases and roles over the reference store.

use std::collections::BTreeMap;

use super::*;
use crate::runtime::{ManualClock, SeededEntropy};
use crate::store::InlinePayloads;
use crate::store::memory::MemoryIndex;
use crate::versions::Context;

/// Keeps the stores it has opened, so that they can be opened again.
#[derive(Debug, Default)]
struct Files {
    clock: Arc<ManualClock>,
    files: Mutex<BTreeMap<String, Arc<MemoryIndex>>>,
}

#[async_trait]
impl StoreOpener for Files {
    async fn open(&self, file: &str) -> Result<Stores> {
        let mut files = self.files.lock();
        let index = files.entry(file.to_owned()).or_insert_with(|| Arc::new(MemoryIndex::new(self.clock.clone())));
        Ok(Stores { index: index.clone(), payloads: Arc::new(InlinePayloads), collections: None })
    }

    async fn remove(&self, file: &str) -> Result<()> {
        self.files.lock().remove(file);
        Ok(())
    }
}

impl Files {
    fn names(&self) -> Vec<String> {
        self.files.lock().keys().cloned().collect()
    }
}

async fn start(files: &Arc<Files>, password: Option<&str>) -> Arc<Tenancy> {
    let entropy = Arc::new(SeededEntropy::new(7));
    Tenancy::open(files.clone(), files.clock.clone(), entropy, "chief", password).await.unwrap()
}

fn role(name: &str, member_of: &[&str]) -> RoleDef {
    RoleDef {
        id: 0,
        name: name.to_owned(),
        superuser: false,
        login: true,
        create_database: false,
        create_role: false,
        load_history: false,
        verifier: None,
        member_of: member_of.iter().map(|group| (*group).to_owned()).collect(),
        settings: BTreeMap::new(),
    }
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(outcome: Result<T>, code: SqlState, message: &str) {
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.message()), (code, message));
}

#[tokio::test]
async fn a_new_cluster_has_one_database_and_one_superuser() {
    let files = Arc::new(Files::default());
    for _ in 0..2 {
        let tenancy = start(&files, None).await;
        assert_eq!(tenancy.databases().into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["chronogate", "postgres"]);
        let chief = tenancy.role("chief").unwrap();
        assert!(chief.superuser && chief.login && chief.load_history);
        assert_eq!((chief.id, tenancy.any_password()), (10, false));
        check_refused(tenancy.database("other").await, SqlState::INVALID_CATALOG_NAME, "database \"other\" does not exist");
    }
}

#[tokio::test]
async fn a_given_password_replaces_the_stored_one_and_stays() {
    let files = Arc::new(Files::default());
    let verifier = |tenancy: &Tenancy| tenancy.role("chief").and_then(|role| role.verifier.clone()).unwrap();
    let first = verifier(&*start(&files, Some("one")).await);
    assert!(Verifier::parse(&first).unwrap().matches("one"));
    assert_eq!(verifier(&*start(&files, None).await), first);
    assert_eq!(verifier(&*start(&files, Some("one")).await), first);
    let tenancy = start(&files, Some("two")).await;
    assert!(Verifier::parse(&verifier(&tenancy)).unwrap().matches("two"));
    assert!(tenancy.any_password());
}

#[tokio::test]
async fn a_database_is_opened_once_however_many_ask() {
    let files = Arc::new(Files::default());
    let tenancy = start(&files, None).await;
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let tenancy = tenancy.clone();
            tokio::spawn(async move { tenancy.database("chronogate").await.unwrap() })
        })
        .collect();
    let opened = futures::future::join_all(asking).await;
    let first = opened[0].as_ref().unwrap();
    assert!(opened.iter().all(|database| Arc::ptr_eq(first, database.as_ref().unwrap())));
}

#[tokio::test]
async fn databases_are_made_and_dropped_with_their_files() {
    let files = Arc::new(Files::default());
    let tenancy = start(&files, None).await;
    tenancy.create_database("Shop 1", "chief").await.unwrap();
    let shop = tenancy.database("Shop 1").await.unwrap();
    assert_eq!(shop.name(), "Shop 1");
    assert!(files.names().iter().any(|file| file.starts_with("_hop_1-")), "{:?}", files.names());
    check_refused(
        tenancy.create_database("Shop 1", "chief").await,
        SqlState::DUPLICATE_DATABASE,
        "database \"Shop 1\" already exists",
    );
    let tenancy = start(&files, None).await;
    assert_eq!(tenancy.databases().len(), 3, "with `chronogate` and `postgres`");
    tenancy.database("Shop 1").await.unwrap();
    check_refused(
        tenancy.drop_database("Shop 1", true).await,
        SqlState::OBJECT_IN_USE,
        "database \"Shop 1\" is being accessed by other users",
    );
    tenancy.drop_database("Shop 1", false).await.unwrap();
    assert_eq!(files.names(), ["chronogate", "cluster"].map(str::to_owned)[1..]);
    let missing = "database \"Shop 1\" does not exist";
    check_refused(tenancy.database("Shop 1").await, SqlState::INVALID_CATALOG_NAME, missing);
    check_refused(tenancy.drop_database("Shop 1", false).await, SqlState::INVALID_CATALOG_NAME, missing);
    let fixed = "database \"chronogate\" cannot be dropped";
    check_refused(tenancy.drop_database("chronogate", false).await, SqlState::FEATURE_NOT_SUPPORTED, fixed);
}

#[tokio::test]
async fn a_database_made_again_is_empty_and_files_left_by_a_crash_go() {
    let files = Arc::new(Files::default());
    let tenancy = start(&files, None).await;
    tenancy.create_database("shop", "chief").await.unwrap();
    tenancy.database("shop").await.unwrap();
    let file = tenancy.database_def("shop").unwrap().file.clone();
    let left = files.files.lock()[&file].clone();
    tenancy.drop_database("shop", false).await.unwrap();
    files.files.lock().insert(file.clone(), left);
    let tenancy = start(&files, None).await;
    assert!(!files.names().contains(&file));
    tenancy.create_database("shop", "chief").await.unwrap();
    assert_ne!(tenancy.database_def("shop").unwrap().file, file);
    assert!(tenancy.database("shop").await.unwrap().catalog().tables.is_empty());
}

#[tokio::test]
async fn names_that_no_database_can_have_are_refused() {
    let tenancy = start(&Arc::default(), None).await;
    let at = "invalid database name \"shop@v1\"";
    check_refused(tenancy.create_database("shop@v1", "chief").await, SqlState::INVALID_NAME, at);
    let empty = "zero-length delimited identifier";
    check_refused(tenancy.create_database("", "chief").await, SqlState::SYNTAX_ERROR, empty);
}

#[tokio::test]
async fn roles_are_kept_changed_and_dropped() {
    let files = Arc::new(Files::default());
    let tenancy = start(&files, None).await;
    tenancy.create_role(role("readers", &[])).await.unwrap();
    tenancy.create_role(role("bob", &["readers"])).await.unwrap();
    let again = tenancy.create_role(role("bob", &[])).await;
    check_refused(again, SqlState::DUPLICATE_OBJECT, "role \"bob\" already exists");
    let unknown = tenancy.create_role(role("eve", &["writers"])).await;
    check_refused(unknown, SqlState::UNDEFINED_OBJECT, "role \"writers\" does not exist");
    for name in ["public", "pg_monitor"] {
        let reserved = tenancy.create_role(role(name, &[])).await;
        check_refused(reserved, SqlState::RESERVED_NAME, &format!("role name \"{name}\" is reserved"));
    }
    let id = tenancy.role("bob").unwrap().id;
    assert!(id >= 16384);
    tenancy.alter_role("bob", |role| role.create_database = true).await.unwrap();
    let tenancy = start(&files, None).await;
    let bob = tenancy.role("bob").unwrap();
    assert_eq!((bob.id, bob.create_database, bob.member_of.as_slice()), (id, true, &["readers".to_owned()][..]));
    tenancy.drop_role("readers").await.unwrap();
    assert!(tenancy.role("bob").unwrap().member_of.is_empty());
    check_refused(tenancy.drop_role("readers").await, SqlState::UNDEFINED_OBJECT, "role \"readers\" does not exist");
    let needed = "cannot drop role chief because it is required by the database system";
    tenancy.create_role(role("owner", &[])).await.unwrap();
    tenancy.create_database("shop", "owner").await.unwrap();
    let owner = "role \"owner\" cannot be dropped because some objects depend on it";
    check_refused(tenancy.drop_role("owner").await, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, owner);
    let lone = start(&Arc::default(), None).await;
    lone.inner.change(|cluster| cluster.remove_role("chief")).await.map_err(|e| assert_eq!(e.message(), needed)).unwrap_err();
}

#[tokio::test]
async fn a_role_is_not_dropped_while_it_holds_something_in_a_database() {
    let tenancy = start(&Arc::default(), None).await;
    tenancy.create_role(role("bob", &[])).await.unwrap();
    let database = tenancy.database("chronogate").await.unwrap();
    let mut tx = database.begin(Context::default());
    let mut catalog = Catalog::clone(&tx.catalog);
    let mut public = crate::history::SchemaDef::clone(&catalog.schemas["public"]);
    public.grants.insert("bob".to_owned(), vec!["CREATE".to_owned()]);
    catalog.replace_schema("public", public).unwrap();
    tx.apply_catalog(catalog).unwrap();
    database.commit(tx).await.unwrap();
    let error = tenancy.drop_role("bob").await.unwrap_err();
    assert_eq!(error.fields().detail.as_deref(), Some("privileges for schema public in database chronogate"));
}

#[tokio::test]
async fn who_owns_a_database_owns_its_public_schema_and_no_other() {
    let tenancy = start(&Arc::default(), None).await;
    tenancy.create_role(role("team", &[])).await.unwrap();
    tenancy.create_role(role("bob", &["team"])).await.unwrap();
    tenancy.create_database("shop", "team").await.unwrap();
    let owner = tenancy.database("shop").await.unwrap().catalog().schemas["public"].owner.clone();
    assert!(tenancy.authority("bob", "shop").owns(&owner));
    assert!(!tenancy.authority("bob", "chronogate").owns(&owner));
    assert!(tenancy.authority("chief", "chronogate").owns(&owner));
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let files = Arc::new(Files::default());
    let tenancy = start(&files, None).await;
    let making = (0..20).map(|n| {
        let tenancy = tenancy.clone();
        async move { tenancy.create_role(role(&format!("r{n}"), &[])).await.unwrap() }
    });
    futures::future::join_all(making).await;
    let tenancy = start(&files, None).await;
    let ids: std::collections::BTreeSet<u32> = tenancy.roles().iter().map(|role| role.id).collect();
    assert_eq!((tenancy.roles().len(), ids.len()), (21, 21));
}

#[tokio::test]
async fn after_close_nothing_is_opened() {
    let tenancy = start(&Arc::default(), None).await;
    let database = tenancy.database("chronogate").await.unwrap();
    tenancy.close().await.unwrap();
    let tx = {
        let mut tx = database.begin(Context::default());
        tx.truncate(crate::versions::TableId(1));
        tx
    };
    assert_eq!(database.commit(tx).await.unwrap_err().diagnose().code(), SqlState::CANNOT_CONNECT_NOW);
    assert_eq!(tenancy.database("chronogate").await.unwrap_err().code(), SqlState::CANNOT_CONNECT_NOW);
    let late = tenancy.create_role(role("late", &[])).await;
    assert_eq!(late.unwrap_err().code(), SqlState::CANNOT_CONNECT_NOW);
}
