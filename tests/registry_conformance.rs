//! What a registry of OCI distribution-spec 1.1 does: the same list for the embedded registry and for Debian's
//! docker-registry (distribution 2.8), which tells whether a test asks for something that only we would do.

mod discovery;
pub(crate) mod peer;
mod pull;
mod push;
mod push_manifest;

use futures::future::{BoxFuture, join_all};
use polyarch::embedded::{Embedded, Opened};

use self::Oracle::{Differs, Same};
use self::peer::{Outcome, Peer};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};

/// What distribution 2.8 does with a row.
enum Oracle {
    /// It passes.
    Same,
    /// It does not, for this reason. A row that it does pass is listed wrongly and fails.
    Differs(&'static str),
}

struct Row {
    name: &'static str,
    run: fn(Peer) -> BoxFuture<'static, Outcome>,
    oracle: Oracle,
}

macro_rules! rows {
    ($($function:path => $oracle:expr,)*) => {
        vec![$(Row { name: stringify!($function), run: |peer| Box::pin($function(peer)), oracle: $oracle }),*]
    };
}

fn rows() -> Vec<Row> {
    rows![
        pull::base_path_identifies_a_registry => Same,
        pull::pushed_blob_is_read_back => Same,
        pull::empty_blob_is_read_back => Same,
        pull::missing_blob_is_404 => Same,
        pull::ranges_of_a_blob_are_206 => Same,
        pull::range_beyond_the_blob_is_416 => Differs("announces a longer body than it sends"),
        pull::manifest_is_read_back_by_tag_and_digest => Same,
        pull::missing_manifest_is_404 => Same,
        pull::index_is_served_regardless_of_accept => Differs("404 for an index unless Accept names its type"),
        pull::invalid_names_and_digests_are_refused => Same,
        pull::malformed_manifest_digest_is_refused => Differs("answers 500"),
        pull::name_of_300_characters_is_refused => Differs("answers 500"),
        push::whole_blob_is_accepted_in_one_post => Differs("begins a session instead, which the specification allows"),
        push::whole_blob_is_accepted_in_one_request_after_post => Same,
        push::stream_without_content_range_is_accepted => Same,
        push::chunks_in_order_are_accepted => Same,
        push::chunk_that_leaves_a_gap_is_416 => Differs("ignores Content-Range"),
        push::chunk_of_another_length_than_announced_is_refused => Differs("ignores Content-Range"),
        push::upload_continues_after_a_broken_connection => Differs("the session is dead after half a PATCH"),
        push::blob_of_another_digest_is_refused => Same,
        push::blob_is_mounted_from_another_repository => Same,
        push::mount_of_a_missing_blob_begins_an_upload => Same,
        push::blob_exists_only_in_its_own_repository => Same,
        push::cancelled_upload_is_gone => Same,
        push::upload_belongs_to_its_repository => Same,
        push::same_blob_is_accepted_from_many_clients_at_once => Same,
        push_manifest::docker_and_oci_manifests_and_indexes_are_accepted => Same,
        push_manifest::nested_index_is_accepted => Same,
        push_manifest::empty_index_is_accepted => Same,
        push_manifest::tag_moves_to_a_new_manifest => Same,
        push_manifest::manifest_with_missing_blobs_is_refused => Same,
        push_manifest::index_with_missing_manifests_is_refused => Same,
        push_manifest::blob_is_not_served_as_a_manifest => Differs("serves any blob as a manifest"),
        push_manifest::document_that_is_image_and_index_is_refused => Same,
        push_manifest::media_type_that_contradicts_the_header_is_refused => Same,
        push_manifest::manifest_of_another_digest_than_the_url_is_refused => Same,
        push_manifest::manifest_that_is_not_json_is_refused => Same,
        push_manifest::null_manifest_is_refused => Differs("answers 500"),
        push_manifest::manifest_larger_than_4_mib_is_413 => Differs("answers 400"),
        push_manifest::index_with_a_wrong_child_size_is_refused => Differs("does not look at sizes"),
        push_manifest::nested_repository_names_are_accepted => Same,
        discovery::tags_are_listed => Same,
        discovery::tags_of_a_missing_repository_are_404 => Same,
        discovery::tags_come_in_pages => Differs("2.8 does not page tags"),
        discovery::page_sizes_are_bounded => Differs("2.8 does not page tags"),
        discovery::referrers_are_listed => Differs("distribution-spec 1.0"),
        discovery::manifests_and_blobs_cannot_be_deleted => Same,
        discovery::deleted_tag_keeps_its_manifest => Differs("deletes nothing by tag"),
        discovery::catalog_is_disabled => Differs("always on"),
    ]
}

/// Runs all rows at once, each in a repository of its own; lists what came out otherwise than `expected`.
async fn disagreements(base: &str, expected: fn(&Row) -> bool) -> Vec<String> {
    let rows = rows();
    let outcomes = rows.iter().enumerate().map(|(number, row)| (row.run)(Peer::new(base, &format!("row-{number}"))));
    let outcomes = join_all(outcomes).await;
    let wrong = rows.iter().zip(outcomes).filter(|(row, outcome)| outcome.is_ok() != expected(row));
    wrong
        .map(|(row, outcome)| match (&row.oracle, outcome) {
            (_, Err(why)) => format!("{}: {why}", row.name),
            (Differs(reason), Ok(())) => format!("{}: passes, though listed as: {reason}", row.name),
            (Same, Ok(())) => format!("{}: passes", row.name),
        })
        .collect()
}

#[tokio::test]
async fn embedded_registry_conforms_to_distribution_1_1() {
    let dir = tempfile::tempdir().unwrap();
    let Opened::Held(embedded) = Embedded::open(dir.path()).unwrap() else { panic!("nobody else has this directory") };
    let base = format!("http://{}", embedded.address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = embedded.serve(async { drop(stopped.await) });
    let asking = async {
        let wrong = disagreements(&base, |_| true).await;
        drop(stop);
        wrong
    };
    let (served, wrong) = tokio::join!(serving, asking);
    served.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn docker_registry_differs_only_in_known_rows() {
    let registry = Distribution::start(Setup::Plain);
    let wrong = disagreements(&registry.base(), |row| matches!(row.oracle, Same)).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn test_registry_asks_for_a_login_when_configured() {
    for setup in [Setup::Login, Setup::TlsLogin] {
        let registry = Distribution::start(setup);
        let mut client = peer::client();
        if let Some(pem) = registry.certificate() {
            client = client.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]);
        }
        let client = client.build().unwrap();
        let url = format!("{}/v2/", registry.base());
        let stranger = client.get(&url).send().await.unwrap();
        assert_eq!(stranger.status(), 401);
        assert_eq!(stranger.headers()["www-authenticate"], "Basic realm=\"test\"");
        let credentials = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{USER}:{PASSWORD}"));
        let friend = client.get(&url).header("authorization", format!("Basic {credentials}")).send().await.unwrap();
        assert_eq!(friend.status(), 200);
    }
}

#[tokio::test]
async fn test_registry_uses_tls_with_its_own_certificate() {
    let registry = Distribution::start(Setup::Tls);
    let url = format!("https://localhost:{}/v2/", registry.address().port());
    let certificate = reqwest::Certificate::from_pem(registry.certificate().unwrap().as_bytes()).unwrap();
    let client = peer::client().tls_certs_only([certificate]).build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
}
