//! The page of the plan's keys comes from the JSON Schema, so that both always say the same. `SNAPSHOTS=overwrite`
//! writes the page; read the difference before you commit it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use polyarch::engine::{ApiVersion, EngineFacts, ImageStore};
use polyarch::oci::Platform;
use polyarch::plan::{Environment, Facts, Overrides, Plan, PlanErrors, SCHEMA, SourceText, resolve};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::support::expected;

const MARK: &str = "<!-- The rest of this page is generated from src/plan/schema.json. -->\n";

/// The maps of a plan: the definition, the path of its keys in a plan, and the heading.
const MAPS: [(&str, &str, &str); 20] = [
    ("", "", "Your plan"),
    ("registry", "registry.", "A registry"),
    ("engine", "engines.NAME.", "An engine"),
    ("engineTls", "engines.NAME.tls.", "TLS of an engine"),
    ("engineBuildkit", "engines.NAME.buildkit.", "A BuildKit behind a program"),
    ("image", "images.NAME.", "An image"),
    ("platform", "images.NAME.platforms.PLATFORM.", "A platform of an image"),
    ("tag", "images.NAME.tags[].", "A tag with conditions"),
    ("entry", "images.NAME.entry.", "An entry"),
    ("secret", "images.NAME.secrets[].", "A secret"),
    ("ulimit", "images.NAME.ulimits.LIMIT.", "A ulimit"),
    ("cache", "images.NAME.cache.", "A cache"),
    ("cacheFrom", "images.NAME.cache.from[].", "A cache to import"),
    ("cacheTo", "images.NAME.cache.to.", "A cache to export"),
    ("cacheS3", "images.NAME.cache.to.", "A cache in Amazon S3"),
    ("cacheAzblob", "images.NAME.cache.to.", "A cache in Azure Blob Storage"),
    ("cacheGha", "images.NAME.cache.to.", "A cache of GitHub Actions"),
    ("ecr", "images.NAME.ecr.", "A repository of Amazon ECR"),
    ("ecrImmutable", "images.NAME.ecr.immutable.", "Immutable tags with exceptions"),
    ("ecrEncryption", "images.NAME.ecr.encryption.", "Encryption with a key"),
];

/// The engines that `x-engines` has, each with its name on the page.
const ENGINES: [(&str, &str); 3] =
    [("20.10", "20.10"), ("28-graph", "28 with the graph driver"), ("28-containerd", "28 with the containerd store")];

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn definition<'a>(schema: &'a Value, name: &str) -> &'a Value {
    if name.is_empty() { schema } else { &schema["$defs"][name] }
}

/// The properties of a map: those that it must have first, then by name.
fn properties<'a>(schema: &'a Value, name: &str) -> Vec<(&'a str, &'a Value, bool)> {
    let map = definition(schema, name);
    let is_required =
        |key: &str| map["required"].as_array().is_some_and(|required| required.iter().any(|one| one == key));
    let properties = map["properties"].as_object().unwrap();
    let mut found: Vec<_> = properties.iter().map(|(key, value)| (key.as_str(), value, is_required(key))).collect();
    found.sort_by_key(|(key, _, required)| (!required, *key));
    found
}

/// The properties of every map that says them itself: those of a platform are references to those of an image.
fn described(schema: &Value) -> impl Iterator<Item = (&str, &str, &Value, bool)> {
    MAPS.iter().filter(|(name, ..)| *name != "platform").flat_map(|(name, ..)| {
        properties(schema, name).into_iter().map(move |(key, value, required)| (*name, key, value, required))
    })
}

/// A value as YAML in one line.
fn yaml(value: &Value) -> String {
    let plain = Regex::new(r"^[A-Za-z0-9_/][A-Za-z0-9_./-]*$").unwrap();
    let number = Regex::new(r"^[0-9._]+$").unwrap();
    match value {
        Value::String(text) if plain.is_match(text) && !number.is_match(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {}", yaml(value))).collect();
            entries.sort();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// The heading of a map, if `reference` leads to one.
fn link(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap();
    if name == "condition" {
        return "[a condition](#conditions)".to_owned();
    }
    if ["cacheS3", "cacheAzblob", "cacheGha"].contains(&name) {
        return "[a storage cache](#a-cache-in-amazon-s3)".to_owned();
    }
    let (_, _, heading) = MAPS.iter().find(|(known, ..)| *known == name).unwrap();
    format!(
        "[{}](#{})",
        heading.to_lowercase().replace("amazon ecr", "Amazon ECR"),
        heading.to_lowercase().replace(' ', "-")
    )
}

/// The types of a value in words, each once.
fn types(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |one: String| {
        if !found.contains(&one) {
            found.push(one);
        }
    };
    if let Some(reference) = value["$ref"].as_str() {
        add(link(reference));
    }
    for one in value["anyOf"].as_array().into_iter().flatten() {
        types(one).into_iter().for_each(&mut add);
    }
    value["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(value.get("const"))
        .for_each(|one| add(format!("`{}`", yaml(one))));
    let named = match &value["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => Vec::from_iter(name.as_str()),
    };
    for name in named {
        match name {
            "array" => add(format!("list of {}", types(&value["items"]).join(" or ").replace("string", "strings"))),
            "object" => add(object(value)),
            "integer" => add(integer(value)),
            "null" => {}
            name => add(name.to_owned()),
        }
    }
    found
}

fn object(value: &Value) -> String {
    let patterns = value["patternProperties"].as_object().into_iter().flat_map(Map::values);
    let values = patterns.chain(value.get("additionalProperties").filter(|one| one.is_object()));
    let values: Vec<String> = values.flat_map(types).collect();
    if values.is_empty() { "map".to_owned() } else { format!("map to {}", values.join(" or ")) }
}

fn integer(value: &Value) -> String {
    match (&value["minimum"], &value["maximum"]) {
        (Value::Number(minimum), Value::Number(maximum)) => format!("integer from {minimum} to {maximum}"),
        _ => "integer".to_owned(),
    }
}

/// The key with its facts.
fn key(page: &mut String, prefix: &str, key: &str, value: &Value, required: bool) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let default = match (value.get("default"), value.get("x-default")) {
        (Some(default), _) => format!("`{}`", yaml(default)),
        (None, Some(default)) => text(default),
        (None, None) if required => "none; you must write this key".to_owned(),
        (None, None) => panic!("{prefix}{key} has no default"),
    };
    let examples = value["examples"].as_array().unwrap().iter();
    let examples: Vec<_> = examples.map(|one| format!("`{key}: {}`", yaml(one))).collect();
    let _ = write!(page, "\n#### `{prefix}{key}`\n\n{}\n\n", text(&value["description"]));
    let _ = writeln!(page, "- Type: {}", types(value).join(", or "));
    let _ = writeln!(page, "- Default: {default}");
    let _ = writeln!(page, "- Example: {}", examples.join(" or "));
    if let Some(engines) = value["x-engines"].as_object() {
        let can = ENGINES.map(|(engine, name)| format!("{name}: {}", engines[engine].as_str().unwrap()));
        let _ = writeln!(page, "- Engines: {}", can.join("; "));
    }
}

/// The generated part of the page.
fn page(schema: &Value) -> String {
    let mut page =
        "\n## Reference of every key\n\nEvery engine supports a key without a line for engines.\n".to_owned();
    for (name, prefix, heading) in MAPS {
        let _ = write!(page, "\n### {heading}\n\n{}\n", definition(schema, name)["description"].as_str().unwrap());
        if name == "platform" {
            let keys = properties(schema, name).into_iter().map(|(key, ..)| format!("[`{key}`](#imagesname{key})"));
            let keys = keys.collect::<Vec<_>>().join("\n- ");
            let _ = write!(page, "Each of these keys has the meaning that it has for an image:\n\n- {keys}\n");
        } else {
            for (name, value, required) in properties(schema, name) {
                key(&mut page, prefix, name, value, required);
            }
        }
    }
    page
}

#[test]
fn plan_page_is_generated_from_the_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/plan.md");
    let written = fs::read_to_string(&file).unwrap();
    let (introduction, _) = written.split_once(MARK).expect("the page has the mark of its generated part");
    expected::is_file(&file, &format!("{introduction}{MARK}{}", page(&schema())));
}

#[test]
fn schema_describes_every_key_with_default_and_example() {
    let schema = schema();
    for (map, key, value, required) in described(&schema) {
        let place = format!("{map}.{key}");
        assert!(value["description"].as_str().is_some_and(|text| text.ends_with('.')), "{place} has a description");
        let defaults = usize::from(value.get("default").is_some()) + usize::from(value.get("x-default").is_some());
        assert_eq!(defaults, usize::from(!required), "{place} has one default, or is required");
        assert!(value["examples"].as_array().is_some_and(|examples| !examples.is_empty()), "{place} has an example");
    }
    for (key, value, _) in properties(&schema, "platform") {
        assert_eq!(value, &json!({ "$ref": format!("#/$defs/image/properties/{key}") }));
    }
}

/// A plan with `value` at `key` of a map, and with the keys that it needs beside it.
fn plan(map: &str, key: &str, value: &Value) -> Value {
    let beside = match (map, key) {
        ("registry", "ca" | "insecure" | "may_send_to") => json!({ "host": "registry.acme.internal" }),
        ("registry", "cert" | "key") => json!({ "host": "registry.acme.internal", "cert": "a.pem", "key": "a.key" }),
        ("registry", _) => json!({ "type": "ecr", "host": "ecr.acme.internal", "region": "eu-west-1" }),
        ("engine", "command" | "context" | "buildkit" | "builder") => json!({}),
        ("engine", "tls") => json!({ "host": "tcp://10.0.0.7:2376" }),
        ("engineTls", "cert" | "key") => json!({ "cert": "a.pem", "key": "a.key" }),
        ("engine", _) => json!({ "host": "tcp://10.0.0.7:2375", "insecure": true }),
        ("image", "rewrite_timestamp") => json!({ "args": { "SOURCE_DATE_EPOCH": "0" } }),
        ("tag", "when") => json!({ "tag": "latest" }),
        ("secret", "id" | "env") => json!({ "id": "npm", "env": "NPM_TOKEN" }),
        ("secret", _) => json!({ "id": "npm" }),
        ("ulimit", _) => json!({ "soft": 1, "hard": 2048 }),
        ("cache", "mode") => json!({ "registry": true }),
        ("cacheFrom" | "cacheTo", "src" | "dest") => json!({ "type": "local" }),
        ("cacheFrom" | "cacheTo", _) => json!({ "type": "registry", "ref": ":cache" }),
        ("cacheS3", _) => json!({ "type": "s3", "bucket": "my-caches" }),
        ("cacheAzblob", _) => json!({ "type": "azblob", "account_url": "https://acme.blob.core.windows.net" }),
        ("cacheGha", _) => json!({ "type": "gha", "token": "t", "url": "https://cache.acme.internal/" }),
        ("ecr", _) => json!({ "create": true }),
        ("ecrEncryption", _) => json!({ "type": "KMS" }),
        _ => json!({}),
    };
    let with = |map: &Value, key: &str, value: &Value| {
        let mut map = map.as_object().unwrap().clone();
        map.insert(key.to_owned(), value.clone());
        Value::Object(map)
    };
    let value = with(&beside, key, value);
    let engines = json!({ "arm": { "host": "unix:///run/arm.sock" } });
    let image = json!({ "tags": ["1.0"], "platforms": ["linux/amd64"] });
    let plan = |image: &Value| json!({ "version": 1, "images": { "a": image }, "engines": &engines });
    let whole = plan(&image);
    let merge = |map: &Value, over: &Value| {
        over.as_object().unwrap().iter().fold(map.clone(), |map, (key, value)| with(&map, key, value))
    };
    let in_image = |key: &str, value: &Value| plan(&with(&image, key, value));
    match map {
        "" => merge(&whole, &value),
        "registry" => with(&whole, "registry", &value),
        "engine" => with(&whole, "engines", &json!({ "arm": value })),
        "engineTls" => with(&whole, "engines", &json!({ "arm": { "host": "tcp://10.0.0.7", "tls": value } })),
        "engineBuildkit" => with(&whole, "engines", &json!({ "arm": { "buildkit": value } })),
        "image" => plan(&merge(&image, &value)),
        "entry" | "cache" | "ecr" => in_image(map, &value),
        "tag" => in_image("tags", &json!([value])),
        "secret" => in_image("secrets", &json!([value])),
        "ulimit" => in_image("ulimits", &json!({ "nofile": value })),
        "cacheFrom" => in_image("cache", &json!({ "from": [value] })),
        "cacheTo" | "cacheS3" | "cacheAzblob" | "cacheGha" => in_image("cache", &json!({ "to": value })),
        "ecrImmutable" => in_image("ecr", &json!({ "create": true, "immutable": value })),
        "ecrEncryption" => in_image("ecr", &json!({ "create": true, "encryption": value })),
        other => panic!("there is no map {other}"),
    }
}

/// The facts of a run for the release 1.2.3.
fn facts() -> Facts {
    let known = [
        ("git.version", "1.2.3"),
        ("git.major", "1"),
        ("git.minor", "2"),
        ("git.ref_slug", "v1.2.3"),
        ("when.release", "true"),
        ("when.highest", "true"),
    ];
    known.map(|(name, value)| (name.to_owned(), Ok(value.to_owned()))).into()
}

fn resolved(plan: &Value) -> Result<Plan, PlanErrors> {
    let source = SourceText { path: "build.yaml".into(), text: plan.to_string() };
    resolve(&source, &Environment::new(), &facts(), &Overrides::default())
}

#[test]
fn examples_of_the_schema_are_plans_that_resolve() {
    for (map, key, value, _) in described(&schema()) {
        for example in value["examples"].as_array().unwrap() {
            let plan = plan(map, key, example);
            resolved(&plan).unwrap_or_else(|errors| panic!("{map}.{key}: {plan}: {errors}: {:?}", errors.problems));
        }
    }
}

/// The three engines of [`ENGINES`], as they answer polyarch.
fn engines() -> [EngineFacts; 3] {
    let engine = |version: &str, minor, store| {
        let platform = Platform::new("linux", "amd64", None).unwrap();
        let (api, runs) = (ApiVersion { major: 1, minor }, vec![platform.clone()]);
        let (version, buildkit, api) = (version.to_owned(), api.buildkit(), Some(api));
        EngineFacts { version, api, buildkit, platform, runs, store, runc: None }
    };
    [
        engine("20.10.24", 41, ImageStore::GraphDriver),
        engine("28.5.2", 51, ImageStore::GraphDriver),
        engine("28.5.2", 51, ImageStore::Containerd),
    ]
}

#[test]
fn schema_names_the_engines_that_support_a_key() {
    let schema = schema();
    for (key, value, _) in properties(&schema, "image") {
        for ((name, _), engine) in ENGINES.iter().zip(engines()) {
            let documented = value["x-engines"].get(name).map_or("yes", |can| can.as_str().unwrap());
            let lacks = value["examples"].as_array().unwrap().iter().any(|example| {
                let plan = resolved(&plan("image", key, example)).unwrap();
                let job = &plan.images[0].jobs[0];
                job.build().is_some_and(|build| !engine.lacks(&build.spec, job.arch_tags).is_empty())
            });
            assert_eq!(documented != "yes", lacks, "{key} on {name}: {documented}");
        }
    }
}
