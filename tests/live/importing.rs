//! Images of others, attested by BuildKit: adopted from one registry into another, and built on.

use crate::joining::{each_platform_is_pulled_and_runs, entries, imagetools};
use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;

on_both_engines!(imported_image_is_readable_by_tools_and_usable_as_a_base);

async fn imported_image_is_readable_by_tools_and_usable_as_a_base(engine: Engine) {
    let (theirs, ours) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let upstream = Project::new(Engine::new(), "upstream");
    upstream.busybox(&format!("LABEL name={}\n", upstream.name));
    upstream.plan(theirs.address(), "platforms: [linux/amd64, linux/arm64]\nprovenance: max");
    upstream.build(&[]).await;
    let source = upstream.reference(theirs.address(), "1.0");

    let project = Project::new(engine, "adopting");
    project.write("app/Dockerfile", "FROM base\nRUN [\"/bin/busybox\", \"touch\", \"/built\"]\n");
    let name = &project.name;
    let plan = format!(
        "version: 1\nregistry: {}\ndefaults: {{ tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64] }}\nimages:\n  \
         {name}: {{ context: app, contexts: {{ base: \"image:{name}-base\" }} }}\n  {name}-base: {{ from: \"{source}\" }}\n",
        ours.address()
    );
    project.write("build.yaml", plan);
    project.build(&[]).await;
    let base = format!("{}/{name}-base:1.0", ours.address());
    assert_eq!(entries(&base).await, entries(&source).await, "nothing is lost");
    crane(&["validate", "--fast", "--remote", &base]).await;
    assert!(imagetools(&base, ".Provenance").await["linux/arm64"]["SLSA"].is_object());
    for reference in [base, project.reference(ours.address(), "1.0")] {
        each_platform_is_pulled_and_runs(&project, &reference).await;
    }
}
