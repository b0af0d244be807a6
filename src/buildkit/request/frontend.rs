//! The options of a build for the Dockerfile frontend.

use std::collections::HashMap;

use super::build::BuildRequest;
use super::cache::Caches;
use super::contexts;
use super::worker::Worker;
use crate::plan::{Attest, CachePolicy, Generator, Network, PullPolicy, Sandbox};

/// The Dockerfile frontend's options, with buildx's names (BuildKit, `frontend/dockerui`).
pub(in crate::buildkit) fn frontend_attrs(
    worker: &Worker,
    request: &BuildRequest<'_>,
    caches: &Caches,
) -> HashMap<String, String> {
    let build = request.build;
    let mut attrs = contexts::input_attrs(build);
    attrs.insert("platform".to_owned(), request.platform.to_string());
    let mut set = |key: &str, value: &str| attrs.insert(key.to_owned(), value.to_owned());
    if let Some(target) = &build.target {
        set("target", target);
    }
    match build.network {
        Network::Default => {}
        Network::None => drop(set("force-network-mode", "none")),
        Network::Host => drop(set("force-network-mode", "host")),
    }
    // An empty text means every stage.
    match (build.no_cache, &build.no_cache_filter[..]) {
        (CachePolicy::Ignore, _) => drop(set("no-cache", "")),
        (CachePolicy::Use, []) => {}
        (CachePolicy::Use, stages) => drop(set("no-cache", &stages.join(","))),
    }
    if build.pull == PullPolicy::Always {
        set("image-resolve-mode", "pull");
    }
    attrs.extend(caches.frontend_attr());
    attrs.extend(contexts::attrs(worker, build, request.bases));
    attrs.extend(sandbox_attrs(&build.sandbox));
    attrs.extend(attest_attrs(&build.attest));
    attrs.extend(build.args.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone())));
    attrs.extend(build.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone())));
    attrs
}

/// The sandbox, in the forms that `frontend/dockerui/attr.go` reads. polyarch sends only settings that the plan
/// contains.
fn sandbox_attrs(sandbox: &Sandbox) -> HashMap<String, String> {
    let Sandbox { extra_hosts, shm_size, ulimits, cgroup_parent } = sandbox;
    let hosts = extra_hosts.iter().flat_map(|(host, ips)| ips.iter().map(move |ip| format!("{host}={ip}")));
    let limits = ulimits.iter().map(|(name, limit)| format!("{name}={}:{}", limit.soft, limit.hard));
    let said = [
        ("add-hosts", hosts.collect::<Vec<_>>().join(",")),
        ("shm-size", shm_size.map(|bytes| bytes.to_string()).unwrap_or_default()),
        ("ulimit", limits.collect::<Vec<_>>().join(",")),
        ("cgroup-parent", cgroup_parent.clone().unwrap_or_default()),
    ];
    let said = said.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Attestations, in the forms that `frontend/attestations/parse.go` reads. polyarch sends only settings that the plan
/// contains.
fn attest_attrs(attest: &Attest) -> impl Iterator<Item = (String, String)> {
    let Attest { provenance, sbom } = attest;
    let generator = |generator: &Generator| match generator {
        Generator::Standard => String::new(),
        // A reference has no comma and no quote, so this text needs no quoting.
        Generator::Image(image) => format!("generator={image}"),
    };
    let said = [
        ("attest:provenance", provenance.map(|provenance| format!("mode={}", provenance.as_str()))),
        ("attest:sbom", sbom.as_ref().map(generator)),
    ];
    said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::build::{EngineNames, Output};
    use super::super::contexts::BaseImage;
    use super::super::worker::Exporter;
    use super::*;
    use crate::oci::Reference;
    use crate::plan::{self, Facts, ImageName, Overrides, SourceText};

    /// A worker that knows named contexts.
    fn worker() -> Worker {
        Worker { platform: "linux/amd64".parse().unwrap(), exporter: Exporter::Moby, knows_contexts: true }
    }

    /// The options for the only job of an image with `settings`, without the options of every build.
    fn sent(settings: &str) -> BTreeMap<String, String> {
        own(all_sent(settings))
    }

    const OF_ALL: [&str; 3] = ["filename", "platform", "label:dev.polyarch.image"];

    fn own(mut attrs: BTreeMap<String, String>) -> BTreeMap<String, String> {
        attrs.retain(|key, _| !OF_ALL.contains(&key.as_str()));
        attrs
    }

    fn all_sent(settings: &str) -> BTreeMap<String, String> {
        let text = format!("{{version: 1, images: {{a: {{tags: [x], platforms: [linux/amd64], {settings}}}}}}}");
        sent_for(&text, &BTreeMap::new())
    }

    /// The same options for the first job of a plan.
    fn sent_for(text: &str, bases: &BTreeMap<ImageName, BaseImage>) -> BTreeMap<String, String> {
        sent_to(&worker(), text, bases)
    }

    /// The same options for another worker.
    fn sent_to(worker: &Worker, text: &str, bases: &BTreeMap<ImageName, BaseImage>) -> BTreeMap<String, String> {
        let source = SourceText { path: "build.yaml".into(), text: text.to_owned() };
        let plan = plan::resolve(&source, &BTreeMap::new(), &Facts::new(), &Overrides::default()).unwrap();
        let job = &plan.images[0].jobs[0];
        let reference: Reference = "127.0.0.1:5000/a".parse().unwrap();
        let request = BuildRequest {
            to: Output::Engine(&EngineNames {
                own: reference.repository.tag("polyarch-1".parse().unwrap()),
                shared: reference.repository.tag(job.arch_tag.clone()),
            }),
            platform: &job.platform,
            build: &job.build().unwrap().spec,
            bases,
            plain_http: None,
            context: None,
        };
        let manifests = BTreeMap::from([("cache/amd64".into(), crate::oci::Digest::of(b"cache"))]);
        let caches = Caches::of(&request, &manifests);
        frontend_attrs(worker, &request, &caches).into_iter().collect()
    }

    #[test]
    fn unset_settings_are_not_sent() {
        assert_eq!(sent("no_cache: false"), BTreeMap::new());
    }

    #[test]
    fn image_gets_a_name_label_unless_the_plan_sets_it() {
        for (said, label) in [
            ("labels: {who: me}", "a"),
            ("labels: {dev.polyarch.image: b}", "b"),
            ("labels: ['dev.polyarch.image=${name}-${arch}']", "a-amd64"),
            ("labels: {dev.polyarch.image: }", ""),
        ] {
            assert_eq!(all_sent(said).get("label:dev.polyarch.image").map(String::as_str), Some(label), "{said}");
        }
    }

    #[test]
    fn sandbox_settings_are_sent_as_the_frontend_reads_them() {
        for (said, key, value) in [
            ("extra_hosts: {db: [10.0.0.5, '::1'], a: 10.0.0.6}", "add-hosts", "a=10.0.0.6,db=10.0.0.5,db=::1"),
            ("extra_hosts: ['db:10.0.0.5', 'db:[::1]', 'a=10.0.0.6']", "add-hosts", "a=10.0.0.6,db=10.0.0.5,db=::1"),
            ("shm_size: 64m", "shm-size", "67108864"),
            ("shm_size: 1024", "shm-size", "1024"),
            ("ulimits: {nofile: {soft: 1024, hard: 2048}, core: -1}", "ulimit", "core=-1:-1,nofile=1024:2048"),
            ("ulimits: {nofile: '1024:-1'}", "ulimit", "nofile=1024:-1"),
            ("cgroup_parent: builds", "cgroup-parent", "builds"),
            ("network: none", "force-network-mode", "none"),
        ] {
            assert_eq!(sent(said), BTreeMap::from([(key.to_owned(), value.to_owned())]), "{said}");
        }
    }

    #[test]
    fn attestation_settings_are_sent_as_the_frontend_reads_them() {
        for (said, key, value) in [
            ("provenance: min", "attest:provenance", "mode=min"),
            ("provenance: max, sbom: false", "attest:provenance", "mode=max"),
            ("sbom: true, provenance: false", "attest:sbom", ""),
            ("sbom: 'ghcr.io/acme/scan:1'", "attest:sbom", "generator=ghcr.io/acme/scan:1"),
        ] {
            assert_eq!(sent(said), BTreeMap::from([(key.to_owned(), value.to_owned())]), "{said}");
        }
    }

    #[test]
    fn no_cache_names_all_stages_or_the_filtered_ones() {
        for (said, stages) in [
            ("no_cache: true", ""),
            ("no_cache_filter: [fetch, test]", "fetch,test"),
            ("no_cache: true, no_cache_filter: [fetch]", ""),
        ] {
            assert_eq!(sent(said), BTreeMap::from([("no-cache".to_owned(), stages.to_owned())]), "{said}");
        }
    }

    #[test]
    fn imported_caches_are_sent_to_the_frontend() {
        let entry = |place: &str| format!(r#"{{"Attrs":{{"ref":"{place}"}},"Type":"registry"}}"#);
        let own = "127.0.0.1:5000/a:";
        let said = "cache: {registry: true, from: [ghcr.io/acme/a:main, {type: inline}]}";
        let places = [format!("{own}buildcache-amd64"), "ghcr.io/acme/a:main".into(), format!("{own}x-amd64")];
        let imports = format!("[{}]", places.map(|place| entry(&place)).join(","));
        assert_eq!(sent(said), BTreeMap::from([("cache-imports".to_owned(), imports)]));
        assert_eq!(sent("cache: {to: {type: inline}}"), BTreeMap::new());
    }

    #[test]
    fn cache_import_sends_no_paths_and_skips_empty_directories() {
        let said = "cache: {from: [{type: local, src: cache/none}, {type: local, src: 'cache/${arch}'}]}";
        let sent = sent(said).remove("cache-imports").unwrap();
        let digest = crate::oci::Digest::of(b"cache");
        assert!(sent.contains(&format!(r#"[{{"Attrs":{{"digest":"{digest}","src":""#)), "{sent}");
        assert!(sent.ends_with(r#""},"Type":"local"}]"#) && !sent.contains("amd64"), "{sent}");
        assert_eq!(sent.matches("Attrs").count(), 1, "{sent}");
    }

    #[test]
    fn remote_context_is_sent_with_its_dockerfile() {
        for (said, expected) in [
            ("context: web", &[("filename", "Dockerfile")][..]),
            ("context: web, dockerfile: ../docker/One", &[("filename", "One")]),
            (
                "context: 'https://h/a.git#main:web', dockerfile: docker/One",
                &[("context", "https://h/a.git#main:web"), ("filename", "docker/One")],
            ),
            (
                "context: https://h/a.tar, dockerfile: /srv/One",
                &[("context", "https://h/a.tar"), ("dockerfilekey", "dockerfile"), ("filename", "One")],
            ),
        ] {
            let attrs = all_sent(said);
            let sent: Vec<_> = attrs.iter().filter(|(key, _)| !OF_ALL[1..].contains(&key.as_str())).collect();
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(sent, expected.iter().map(|(key, value)| (key, value)).collect::<Vec<_>>(), "{said}");
        }
    }

    const BUILT_ON: &str = "
version: 1
defaults: { tags: [x], platforms: [linux/amd64] }
images:
  a:
    contexts:
      parent: image:base
      alpine:latest: docker-image://127.0.0.1:5000/alpine:3
      src: ../other
      context: ../third
  base: {}
";

    #[test]
    fn named_contexts_are_sent_as_buildx_does() {
        let repository = "127.0.0.1:5000/base".parse::<Reference>().unwrap().repository;
        let digest = crate::oci::Digest::of(b"base");
        let tag = repository.tag("x-amd64".parse().unwrap());
        for (base, mode) in
            [(BaseImage::Pushed(repository.digest(digest)), None), (BaseImage::OnEngine(tag), Some("local"))]
        {
            let sent = own(sent_for(BUILT_ON, &BTreeMap::from([("base".parse().unwrap(), base.clone())])));
            let parent = format!("docker-image://{base}");
            let mut expected = vec![
                ("context:parent", parent.as_str()),
                ("context:alpine", "docker-image://127.0.0.1:5000/alpine:3"),
                ("context:src", "local:src"),
                ("context:context", "local:_context"),
                ("frontend.caps", "moby.buildkit.frontend.contexts+forward"),
            ];
            expected.extend(mode.map(|mode| ("image-resolve-mode", mode)));
            let expected = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(sent, expected.collect::<BTreeMap<_, _>>());
        }
    }

    #[test]
    fn context_options_are_not_sent_to_an_old_engine() {
        let repository = "127.0.0.1:5000/base".parse::<Reference>().unwrap().repository;
        let base = BaseImage::OnEngine(repository.tag("x-amd64".parse().unwrap()));
        let bases = BTreeMap::from([("base".parse().unwrap(), base)]);
        let mode = ("image-resolve-mode".to_owned(), "local".to_owned());
        let old = Worker { knows_contexts: false, ..worker() };
        assert_eq!(own(sent_to(&old, BUILT_ON, &bases)), BTreeMap::from([mode]));
    }
}
