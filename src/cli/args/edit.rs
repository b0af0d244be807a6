//! Reads the options of `polyarch join -t` that change the index beyond its sources.

use clap::Args;
use polyarch::oci::{Annotation, EntryOverride, IndexFormat, Platform};
use polyarch::run::{Base, Edit, Failure};

use super::platforms::several;
use super::refusal::usage;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "References")]
pub(crate) struct EditArgs {
    /// Add the sources to the target's index
    ///
    /// polyarch keeps the images of the index, with their attestations and annotations. A source replaces the image of
    /// its platform. With several targets polyarch takes the index of the first one.
    #[arg(long)]
    append: bool,
    /// Remove platforms from the target's index
    ///
    /// Separate platforms by commas: `linux/386,linux/arm/v7`. polyarch keeps all other images. You may also name
    /// sources to add. A platform that the index does not have is an error (exit code 7).
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    remove: Vec<String>,
    /// Set the platform of a source
    ///
    /// polyarch then ignores the platform in the config, as `docker manifest annotate` does. SOURCE is a source as you
    /// write it in the command. Examples: SOURCE=linux/arm/v7, SOURCE=windows/amd64,os.version=10.0.20348.2461,
    /// SOURCE=os.features=win32k
    #[arg(long, value_name = "SOURCE=PLATFORM")]
    annotate: Vec<String>,
    /// Annotate the index or its entries
    ///
    /// Without SCOPE polyarch annotates the index. The scope `entry` is every entry, and `entry[PLATFORM]` is the entry
    /// of one platform. An index with annotations is an OCI index. Example: 'entry[linux/arm64]:org.example.tier=2'
    #[arg(long, value_name = "[SCOPE:]KEY=VALUE")]
    annotation: Vec<String>,
    /// Require exactly these platforms
    ///
    /// Separate platforms by commas. Their order counts, too. If the index has other platforms or another order,
    /// polyarch pushes nothing (exit code 7).
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    expect: Vec<String>,
    /// Set the form of the index
    ///
    /// `oci` is an OCI index. `docker` is a Docker manifest list: polyarch fails if a list cannot hold the index (exit
    /// code 7). `auto` is the default: a manifest list if a list can hold the index, or else an OCI index.
    #[arg(long, value_enum, value_name = "FORMAT")]
    index_format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Auto,
    Oci,
    Docker,
}

impl EditArgs {
    /// The first option of these that the user passed.
    pub(crate) fn asked(&self) -> Option<&'static str> {
        let given = [
            ("--append", self.append),
            ("--remove", !self.remove.is_empty()),
            ("--annotate", !self.annotate.is_empty()),
            ("--annotation", !self.annotation.is_empty()),
            ("--expect", !self.expect.is_empty()),
            ("--index-format", self.index_format.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// The changes to the index; `wanted` is `--platform`.
    pub(crate) fn edit(&self, wanted: &[String]) -> Result<Edit, Failure> {
        let without = platforms("--remove", &self.remove)?;
        let base = if self.append || !without.is_empty() { Base::Target { without } } else { Base::Nothing };
        let expect = platforms("--expect", &self.expect)?;
        let format = match self.index_format {
            None | Some(Format::Auto) => IndexFormat::Auto,
            Some(Format::Oci) => IndexFormat::Oci,
            Some(Format::Docker) => IndexFormat::Docker,
        };
        if format == IndexFormat::Docker && !self.annotation.is_empty() {
            let message =
                "--annotation does not work with --index-format docker: a Docker manifest list cannot have annotations";
            return Err(usage(message, "leave one of the two options out"));
        }
        Ok(Edit {
            base,
            platforms: platforms("--platform", wanted)?,
            expect: (!expect.is_empty()).then_some(expect),
            annotations: self.annotation.iter().map(|text| annotation(text)).collect::<Result<_, _>>()?,
            format,
        })
    }

    /// The values of `--annotate` for each of `sources`, which have the spelling of the command line.
    pub(crate) fn entries(&self, sources: &[String]) -> Result<Vec<EntryOverride>, Failure> {
        let mut entries: Vec<Option<EntryOverride>> = vec![None; sources.len()];
        for text in &self.annotate {
            let of = |source: &String| text.strip_prefix(source.as_str()).and_then(|rest| rest.strip_prefix('='));
            // The name of a source may begin with the name of another source.
            let Some((source, said)) =
                sources.iter().filter_map(|source| Some((source, of(source)?))).max_by_key(|(source, _)| source.len())
            else {
                return Err(no_source(text, sources));
            };
            let entry = entry(text, said)?;
            for (_, place) in sources.iter().zip(&mut entries).filter(|(other, _)| *other == source) {
                if place.replace(entry.clone()).is_some() {
                    return Err(usage(
                        format!("--annotate {text}: {source} is annotated twice"),
                        "write all values in one --annotate",
                    ));
                }
            }
        }
        Ok(entries.into_iter().map(Option::unwrap_or_default).collect())
    }
}

fn no_source(text: &str, sources: &[String]) -> Failure {
    let named = text.split_once('=').map_or(text, |(source, _)| source);
    let hint = match sources {
        [] => "add the image to the sources: --annotate changes only sources".to_owned(),
        _ => format!("the sources are {}; write it as --annotate SOURCE=linux/arm64", sources.join(", ")),
    };
    usage(format!("--annotate {text}: {named} is not one of the sources"), &hint)
}

/// `linux/arm/v7`, `windows/amd64,os.version=10.0.20348.2461`
fn entry(text: &str, said: &str) -> Result<EntryOverride, Failure> {
    let mut entry = EntryOverride::default();
    for (place, item) in said.split(',').enumerate() {
        let refused = |why: &str| {
            usage(format!("--annotate {text}: {why}"), "write it as SOURCE=windows/amd64,os.version=10.0.20348")
        };
        match item.split_once('=') {
            None if place == 0 => {
                let told = |error| refused(&format!("`{item}` is not a platform: {error}"));
                entry = EntryOverride::of(item.parse().map_err(told)?);
            }
            Some(("os.version", version)) if !version.is_empty() => entry.os_version = Some(version.to_owned()),
            Some(("os.features", feature)) if !feature.is_empty() => {
                entry.os_features.get_or_insert_default().push(feature.to_owned());
            }
            _ => return Err(refused(&format!("`{item}` is neither os.version=VERSION nor os.features=FEATURE"))),
        }
    }
    Ok(entry)
}

/// The platforms of `option`, each once.
fn platforms(option: &str, texts: &[String]) -> Result<Vec<Platform>, Failure> {
    let mut platforms: Vec<Platform> = Vec::new();
    for platform in several(option, texts, &format!("write {option} linux/amd64,linux/arm64"))? {
        if platforms.contains(&platform) {
            return Err(usage(format!("{option} names {platform} twice"), "name each platform once"));
        }
        platforms.push(platform);
    }
    Ok(platforms)
}

fn annotation(text: &str) -> Result<Annotation, Failure> {
    let refused =
        |error| usage(format!("--annotation {text}: {error}"), "write it as 'entry[linux/arm64]:org.example.tier=2'");
    text.parse().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(annotate: &[&str], sources: &[&str]) -> Result<Vec<EntryOverride>, Failure> {
        let args = EditArgs { annotate: annotate.iter().map(ToString::to_string).collect(), ..EditArgs::default() };
        args.entries(&sources.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn annotate_applies_only_to_its_source() {
        let said = entries(
            &["a.io/w:1=linux/arm/v7", "a.io/w=windows/amd64,os.version=10.0.1,os.features=a,os.features=b"],
            &["a.io/w", "a.io/w:1", "a.io/w:2"],
        );
        let [windows, arm, none] = &said.unwrap()[..] else { panic!("three sources") };
        assert_eq!(arm.platform, Some("linux/arm/v7".parse().unwrap()));
        assert_eq!(windows.platform, Some("windows/amd64".parse().unwrap()));
        assert_eq!(windows.os_version.as_deref(), Some("10.0.1"));
        assert_eq!(windows.os_features, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(*none, EntryOverride::default());
        // A source that is named twice is one source.
        assert_eq!(
            entries(&["a.io/w=os.version=1"], &["a.io/w", "a.io/w"]).unwrap()[1].os_version.as_deref(),
            Some("1")
        );
    }

    #[test]
    fn annotate_refuses_unknown_sources_and_forms() {
        for (annotate, says) in [
            (&["a.io/x=linux/arm64"][..], "a.io/x is not one of the sources"),
            (&["linux/arm64"], "linux/arm64 is not one of the sources"),
            (
                &["a.io/w=arm64"],
                "`arm64` is not a platform: no platform has the name `arm64`; did you mean linux/arm64?",
            ),
            (&["a.io/w="], "`` is not a platform"),
            (&["a.io/w=linux/arm64,os.version="], "neither os.version"),
            (&["a.io/w=linux/arm64,linux/amd64"], "neither os.version"),
            (&["a.io/w=linux/arm64", "a.io/w=os.version=1"], "a.io/w is annotated twice"),
        ] {
            let failure = entries(annotate, &["a.io/w", "a.io/w:1"]).unwrap_err();
            assert!(failure.message.contains(says), "{annotate:?}: {}", failure.message);
        }
        let hint = entries(&["a.io/x=linux/arm64"], &["a.io/w", "a.io/w:1"]).unwrap_err().hint.unwrap();
        assert!(hint.contains("the sources are a.io/w, a.io/w:1"), "{hint}");
    }
}
