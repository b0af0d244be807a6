//! Manifests, indexes and image configs. A reader that ignores case and takes the last of several fields, as Go's does,
//! reads the same as polyarch. Bytes after the first NUL are the config.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyarch::oci::{Content, Descriptor, MediaType, PlatformFields, RawManifest};
use serde_json::Value;

/// The field, in any case.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fold = |text: &str| text.replace('ſ', "s").replace('\u{212a}', "k").to_lowercase();
    let object = object.as_object()?;
    object.iter().filter(|(key, _)| fold(key) == name.to_lowercase()).map(|(_, value)| value).last()
}

fn same(read: &[Descriptor], listed: Option<&Value>) {
    let listed = listed.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    assert_eq!(read.len(), listed.len());
    for (read, other) in read.iter().zip(listed) {
        assert_eq!(Some(read.digest.to_string().as_str()), field(other, "digest").and_then(Value::as_str));
        assert_eq!(Some(read.size), field(other, "size").and_then(Value::as_u64));
        assert_eq!(read.platform.is_some(), field(other, "platform").is_some_and(|platform| !platform.is_null()));
        if let Some(platform) = &read.platform {
            same_platform(platform, field(other, "platform").unwrap());
        }
    }
}

fn same_platform(read: &PlatformFields, other: &Value) {
    let text = |name| field(other, name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!((&*read.os, &*read.architecture), (text("os"), text("architecture")));
    assert_eq!(read.variant.as_deref().unwrap_or_default(), text("variant"));
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (manifest, config) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Ok(Some(fields)) = PlatformFields::of_config(config) {
        // serde_json's own value cannot hold a field with the name that it gives to raw values.
        if let Ok(other) = serde_json::from_slice(config) {
            same_platform(&fields, &other);
        }
    }
    for header in [None, Some(MediaType::OciIndex), Some(MediaType::DockerManifest)] {
        let Ok(raw) = RawManifest::new(manifest, header.as_ref()) else { continue };
        let Ok(other) = serde_json::from_slice::<Value>(manifest) else { continue };
        match raw.content() {
            Ok(Content::Index(index)) => {
                same(&index.manifests, field(&other, "manifests"));
                assert!(field(&other, "layers").is_none_or(Value::is_null), "it has layers, too");
            }
            Ok(Content::Image(image)) => {
                same(&image.layers, field(&other, "layers"));
                same(&[image.config], Some(&Value::Array(vec![field(&other, "config").unwrap().clone()])));
                assert!(field(&other, "manifests").is_none_or(Value::is_null), "it has manifests, too");
            }
            Err(_) => {}
        }
    }
});
