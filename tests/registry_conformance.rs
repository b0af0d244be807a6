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
        pull::the_base_says_that_it_is_a_registry => Same,
        pull::a_blob_is_read_back => Same,
        pull::an_empty_blob_is_read_back => Same,
        pull::a_missing_blob_is_404 => Same,
        pull::parts_of_a_blob_are_206 => Same,
        pull::a_range_beyond_the_blob_is_416 => Differs("announces a longer body than it sends"),
        pull::a_manifest_is_read_back_by_tag_and_digest => Same,
        pull::a_missing_manifest_is_404 => Same,
        pull::an_index_is_served_whatever_is_accepted => Differs("404 for an index unless Accept names its type"),
        pull::what_cannot_be_a_name_or_digest_is_refused => Same,
        pull::a_malformed_digest_of_a_manifest_is_refused => Differs("answers 500"),
        pull::a_name_of_300_characters_is_refused => Differs("answers 500"),
        push::a_whole_blob_in_one_post => Differs("begins a session instead, which the specification allows"),
        push::a_whole_blob_in_one_put => Same,
        push::a_stream_without_content_range => Same,
        push::chunks_in_order => Same,
        push::a_chunk_that_leaves_a_gap_is_416 => Differs("ignores Content-Range"),
        push::a_chunk_of_another_length_than_announced_is_refused => Differs("ignores Content-Range"),
        push::an_upload_goes_on_after_a_broken_connection => Differs("the session is dead after half a PATCH"),
        push::content_of_another_digest_is_refused => Same,
        push::a_blob_is_mounted_from_a_repository_that_has_it => Same,
        push::a_mount_of_what_is_not_there_begins_an_upload => Same,
        push::a_blob_is_only_in_the_repository_that_it_was_pushed_to => Same,
        push::a_cancelled_upload_is_gone => Same,
        push::an_upload_belongs_to_its_repository => Same,
        push::the_same_blob_at_once_from_many => Same,
        push_manifest::manifests_and_indexes_of_both_families => Same,
        push_manifest::an_index_in_an_index => Same,
        push_manifest::an_empty_index => Same,
        push_manifest::a_tag_moves => Same,
        push_manifest::a_manifest_whose_blobs_are_missing_is_refused => Same,
        push_manifest::an_index_whose_manifests_are_missing_is_refused => Same,
        push_manifest::a_blob_is_no_manifest => Differs("serves any blob as a manifest"),
        push_manifest::a_document_that_is_both_image_and_index_is_refused => Same,
        push_manifest::a_media_type_that_contradicts_the_header_is_refused => Same,
        push_manifest::another_digest_than_in_the_url_is_refused => Same,
        push_manifest::what_is_not_json_is_refused => Same,
        push_manifest::null_is_refused => Differs("answers 500"),
        push_manifest::more_than_four_mebibytes_is_413 => Differs("answers 400"),
        push_manifest::an_index_with_a_wrong_size_is_refused => Differs("does not look at sizes"),
        push_manifest::repositories_inside_repositories => Same,
        discovery::tags_are_listed => Same,
        discovery::tags_of_no_repository_are_404 => Same,
        discovery::tags_come_in_pages => Differs("2.8 does not page tags"),
        discovery::page_sizes_are_bounded => Differs("2.8 does not page tags"),
        discovery::referrers_are_listed => Differs("distribution-spec 1.0"),
        discovery::manifests_and_blobs_cannot_be_deleted => Same,
        discovery::a_tag_is_deleted_and_what_it_names_stays => Differs("deletes nothing by tag"),
        discovery::the_catalog_is_off => Differs("always on"),
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
async fn the_embedded_registry_speaks_distribution_1_1() {
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
async fn docker_registry_differs_only_where_it_is_known_to() {
    let registry = Distribution::start(Setup::Plain);
    let wrong = disagreements(&registry.base(), |row| matches!(row.oracle, Same)).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn docker_registry_asks_for_a_login_where_it_was_set_up_so() {
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
async fn docker_registry_speaks_tls_with_the_certificate_that_it_names() {
    let registry = Distribution::start(Setup::Tls);
    let url = format!("https://localhost:{}/v2/", registry.address().port());
    let certificate = reqwest::Certificate::from_pem(registry.certificate().unwrap().as_bytes()).unwrap();
    let client = peer::client().tls_certs_only([certificate]).build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
}
