//! What the command line says over a plan, and what it selects of it.

use std::collections::BTreeMap;

use polyarch::oci::Platform;
use polyarch::plan::{
    CachePolicy, Environment, Facts, Overrides, Plan, PullPolicy, RegistryChoice, Selection, SourceText, Transport,
    resolve,
};

const PLAN: &str = "
version: 1
registry: ghcr.io/acme
engines: { far: { host: tcp://10.0.0.1:2375, insecure: true, slots: 2 } }
defaults: { platforms: [linux/amd64, linux/arm64], tags: [latest] }
images:
  hello: { args: { A: plan, B: plan }, platforms: { linux/amd64: , linux/arm64: { args: { A: platform } } } }
  help: { tags: [v1], target: base }
  other: { platforms: [linux/arm/v7] }
";

fn read(overrides: &Overrides) -> Result<Plan, String> {
    let source = SourceText { path: "plans/build.yaml".into(), text: PLAN.into() };
    let environment = Environment::from([("FROM_ENV".into(), "env".into())]);
    resolve(&source, &environment, &Facts::new(), overrides).map_err(|errors| {
        let problem = |p: &polyarch::plan::Problem| format!("{}|{}", p.message, p.hint.clone().unwrap_or_default());
        errors.problems.iter().map(problem).collect::<Vec<_>>().join("\n")
    })
}

fn set(flags: &[&str]) -> Overrides {
    Overrides { set: words(flags), ..Overrides::default() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn select(images: &[&str], platforms: &[&str]) -> Overrides {
    let platforms = platforms.iter().filter_map(|text| text.parse().ok()).collect();
    let selection = Selection { images: words(images), platforms, ..Selection::default() };
    Overrides { selection, ..Overrides::default() }
}

/// Every job on one line: image, platform and what `show` picks.
fn jobs(plan: &Plan, show: impl Fn(&polyarch::plan::Image, &polyarch::plan::Job) -> String) -> Vec<String> {
    let line = |image, job| show(image, job);
    plan.images.iter().flat_map(|image| image.jobs.iter().map(move |job| line(image, job))).collect()
}

#[test]
fn set_changes_an_image_a_platform_or_all_matches() {
    let overrides = set(&[
        "hello.args.A=image",
        "hello.linux/arm64.args.B=1.10",
        "hel*.target=${name}-${arch}",
        "*.linux/arm/v7.context=/srv",
        "other.tags=a,b",
        "help.platforms=linux/arm64,linux/riscv64",
        "other.labels.org.opencontainers.image.title=x=y",
        "help.no_cache=true",
        "help.entry.os_features=f,g",
    ]);
    let plan = read(&overrides).unwrap_or_else(|problems| panic!("{problems}"));
    let shown = jobs(&plan, |image, job| {
        let (build, tags) =
            (&job.build().unwrap().spec, image.tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let (args, labels, context) = (&build.args, &build.labels, build.context.directory().unwrap().display());
        let target = build.target.as_deref().unwrap_or("-");
        let own = (String::from("dev.polyarch.image"), image.name.to_string());
        let labels: BTreeMap<_, _> = labels.iter().filter(|(key, value)| (*key, *value) != (&own.0, &own.1)).collect();
        format!("{} {} {tags} {args:?} {labels:?} {context} {target} {:?}", image.name, job.platform, build.no_cache)
    });
    let expected = [
        r#"hello linux/amd64 latest {"A": "image", "B": "plan"} {} plans hello-amd64 Use"#,
        r#"hello linux/arm64 latest {"A": "platform", "B": "1.10"} {} plans hello-arm64 Use"#,
        "help linux/arm64 v1 {} {} plans help-arm64 Ignore",
        "help linux/riscv64 v1 {} {} plans help-riscv64 Ignore",
        r#"other linux/arm/v7 a,b {} {"org.opencontainers.image.title": "x=y"} /srv - Use"#,
    ];
    assert_eq!(shown, expected);
    assert_eq!(plan.images[1].jobs[0].entry.os_features, Some(words(&["f", "g"])));
}

#[test]
fn credential_in_a_context_url_is_refused_and_not_shown() {
    for (key, what) in [("context", "`context`"), ("contexts.src", "the context `src`")] {
        let problem = read(&set(&[&format!("hello.{key}=https://user:word@h/a.git")])).unwrap_err();
        assert!(problem.starts_with(&format!("--set hello.{key}: {what}: the URL contains a credential")), "{problem}");
        assert!(!problem.contains("word"), "{problem}");
    }
    let plan = PLAN.replace("target: base", "context: \"https://user:word@h/a.git\"");
    let source = SourceText { path: "plans/build.yaml".into(), text: plan };
    let errors = resolve(&source, &Environment::new(), &Facts::new(), &Overrides::default()).unwrap_err();
    let [problem] = &errors.problems[..] else { panic!("{errors}") };
    // Without a span no line of the plan is shown.
    assert_eq!(problem.span, None);
    assert!(problem.message.starts_with("plans/build.yaml:8:32: `context`: the URL contains a credential"), "{errors}");
    assert!(!errors.to_string().contains("word"), "{errors}");
}

#[test]
fn invalid_set_flag_gets_an_error_with_a_hint() {
    for (flag, problem) in [
        (
            "hello",
            "--set hello: the value must have the form IMAGE[.PLATFORM].KEY=VALUE|pass --set hello.args.VERSION=1.0, or --set '*.linux/arm64.target=release'",
        ),
        ("helo.target=x", "--set helo.target=x: there is no image `helo` in the plan|did you mean `hello`?"),
        ("hello.tagret=x", "--set hello.tagret=x: an image has no key `tagret`|did you mean `target`?"),
        (
            "hello.linux/arm64.tag=x",
            "--set hello.linux/arm64.tag=x: a platform has no key `tag`|use one of: from, context, contexts, dockerfile, dockerfile_inline, target, args, labels, secrets, ssh, network, extra_hosts, shm_size, ulimits, cgroup_parent, no_cache, no_cache_filter, cache, pull, compression, compression_level, force_compression, rewrite_timestamp, oci_mediatypes, …",
        ),
        ("hello.no_cache_from=x", "--set hello.no_cache_from=x: `no_cache_from` is not yet supported|"),
        (
            "hello.linux/s390x.target=x",
            "--set hello.linux/s390x.target=x: the image `hello` has no platform linux/s390x|",
        ),
        ("hello.no_cache=maybe", "--set hello.no_cache=maybe: `no_cache` must be true or false, and this is a string|"),
        (
            "hello.target=${UNSET}",
            "--set hello.target=${UNSET}: `UNSET` is not set|set the variable, or write a default: ${UNSET:-default}",
        ),
        ("hello.target.x=y", "--set hello.target.x=y: `target` must be a string, and this is a map|"),
    ] {
        assert_eq!(read(&set(&[flag])).unwrap_err(), problem);
    }
}

#[test]
fn command_line_tags_apply_to_the_selected_images() {
    let overrides = Overrides { tags: words(&["2.0", "edge"]), ..select(&["help"], &[]) };
    let plan = read(&overrides).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(jobs(&plan, |_, job| job.arch_tag.to_string()), ["2.0-amd64", "2.0-arm64"]);
    assert_eq!(plan.images[0].tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2.0", "edge"]);
    for (tag, problem) in [
        ("a:b", "--tag a:b: `a:b` is a reference, and a tag is only the part after its colon"),
        ("-a", "--tag -a: the tag `-a` is not valid"),
    ] {
        let bad = Overrides { tags: words(&[tag]), ..select(&["help"], &[]) };
        let told = read(&bad).unwrap_err();
        assert!(told.starts_with(problem), "{told}");
    }
}

#[test]
fn special_buildkit_build_arguments_are_refused() {
    for (flag, hint) in [
        ("BUILDKIT_MULTI_PLATFORM=1", "`platforms`"),
        ("BUILDKIT_MULTI_PLATFORM=true", "`platforms`"),
        ("BUILDKIT_INLINE_CACHE=1", "type: inline"),
        ("BUILDKIT_ATTEST_SBOM=", "sbom: true"),
        ("BUILDKIT_ATTEST_PROVENANCE=mode=max", "provenance: min"),
    ] {
        let overrides = Overrides { build_args: words(&[flag]), ..Overrides::default() };
        let refused = read(&overrides).unwrap_err();
        let name = flag.split('=').next().unwrap();
        assert!(refused.starts_with(&format!("--build-arg {name}: ")) && refused.contains(hint), "{refused}");
    }
    for flag in ["BUILDKIT_MULTI_PLATFORM=0", "BUILDKIT_INLINE_CACHE=false", "BUILDKIT_SANDBOX_HOSTNAME=box"] {
        read(&Overrides { build_args: words(&[flag]), ..Overrides::default() }).unwrap();
    }
}

#[test]
fn command_line_build_arguments_override_and_are_literal() {
    let build_args = words(&["A=${arch} $5", "FROM_ENV", "NOT_SET", "API_TOKEN=x"]);
    let plan = read(&Overrides { build_args, ..select(&["hello"], &["linux/arm64"]) });
    let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
    let args = jobs(&plan, |_, job| format!("{:?}", job.build().unwrap().spec.args));
    assert_eq!(args, [r#"{"A": "${arch} $5", "API_TOKEN": "x", "B": "plan", "FROM_ENV": "env"}"#]);
    let warnings: Vec<&str> = plan.warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(
        warnings,
        [
            "--build-arg API_TOKEN: the build argument `API_TOKEN` looks like a secret, and the image's history keeps it",
            "--build-arg NOT_SET: polyarch omits the build argument `NOT_SET`, which the environment does not set",
        ]
    );
    assert!(read(&Overrides { build_args: words(&["=x"]), ..Overrides::default() }).is_err());
}

#[test]
fn flags_replace_policies_engines_and_registries() {
    let overrides = Overrides {
        no_cache: Some(CachePolicy::Ignore),
        pull: Some(PullPolicy::Always),
        registries: words(&["localhost:5000/team", "ghcr.io/acme"]),
        engines: words(&["far=unix:///tmp/tunnel.sock", "near=tcp://127.0.0.1:2375"]),
        set: words(&["hello.engine=near"]),
        ..Overrides::default()
    };
    let plan = read(&overrides).unwrap_or_else(|problems| panic!("{problems}"));
    let RegistryChoice::Named(registry) = &plan.registry else { panic!("{:?}", plan.registry) };
    assert_eq!((registry.host.to_string().as_str(), registry.transport), ("localhost:5000", Transport::InsecureHttp));
    assert_eq!(registry.to_string(), "localhost:5000/team");
    assert_eq!(plan.copies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ghcr.io/acme"]);
    assert_eq!(plan.images[0].repository.to_string(), "hello");
    let engines = plan.engines.iter().map(|engine| format!("{} {} {}", engine.name, engine.host, engine.slots));
    let expected = ["far unix:///tmp/tunnel.sock 2", "near tcp://127.0.0.1:2375 4"];
    assert_eq!(engines.collect::<Vec<_>>(), expected);
    let job = &plan.images[0].jobs[0];
    let build = job.build().unwrap();
    assert_eq!((build.spec.no_cache, build.spec.pull), (CachePolicy::Ignore, PullPolicy::Always));
    assert_eq!(build.engine.as_ref().map(ToString::to_string).as_deref(), Some("near"));
    for (engine, problem) in [
        (
            "x",
            "--engine x: the value must have the form NAME=HOST|pass a name and a host, such as --engine x86=tcp://127.0.0.1:2375",
        ),
        (
            "x=ssh://-oX",
            "--engine x=ssh://-oX: `ssh://-oX`: an ssh host has the form ssh://[USER@]HOST[:PORT][/SOCKET]",
        ),
        ("x=tcp://h:1", "--engine x=tcp://h:1: tcp://h:1 is unencrypted TCP to another machine"),
        ("x y=unix:///a", "--engine x y=unix:///a: `x y` is not a valid name: "),
    ] {
        let problems = read(&Overrides { engines: words(&[engine]), ..Overrides::default() }).unwrap_err();
        assert!(problems.starts_with(problem), "{problems}");
    }
}

#[test]
fn selection_records_omitted_images_and_platforms() {
    let plan = read(&select(&["other", "hello"], &["linux/arm64"])).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(jobs(&plan, |image, job| format!("{} {}", image.name, job.platform)), ["hello linux/arm64"]);
    assert_eq!(plan.images[0].left_out, ["linux/amd64".parse::<Platform>().unwrap_or_else(|e| panic!("{e}"))]);
    assert!(!plan.images[0].is_complete());
    assert_eq!(plan.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(), ["help", "other"]);
    // You named `other` but not `help`.
    let warnings: Vec<_> = plan.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["other: none of their platforms is linux/arm64, so polyarch skips them"]);
    let whole = read(&Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(whole.left_out.is_empty() && whole.images.iter().all(polyarch::plan::Image::is_complete));
}

#[test]
fn unknown_selection_lists_known_images_and_platforms() {
    for (images, platforms, problem) in [
        (&["helo"][..], &[][..], "there is no image `helo` in the plan|did you mean `hello`?"),
        (&["zzz"], &[], "there is no image `zzz` in the plan|use one of: hello, help, other"),
        (
            &["help"],
            &["linux/arm/v7"],
            "--platform linux/arm/v7: no image is planned for it|choose a planned platform: linux/amd64, linux/arm64",
        ),
        (
            &[],
            &["linux/s390x", "linux/arm64"],
            "--platform linux/s390x: no image is planned for it|choose a planned platform: linux/amd64, linux/arm64, linux/arm/v7",
        ),
    ] {
        assert_eq!(read(&select(images, platforms)).unwrap_err(), problem);
    }
    let mut native = select(&["help"], &["linux/arm/v7"]);
    native.selection.native.clone_from(&native.selection.platforms);
    let problem = read(&native).unwrap_err();
    assert!(problem.starts_with("--platform native (linux/arm/v7): no image is planned for it|"), "{problem}");
}
