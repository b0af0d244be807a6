//! What is said of the index that `polyarch join -t` makes of references, beyond its sources.

use clap::Args;
use polyarch::oci::{Annotation, EntryOverride, IndexFormat, Platform};
use polyarch::run::{Base, Edit, Failure};

use super::load::usage;
use super::platforms::several;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "References")]
pub(crate) struct EditArgs {
    /// Add the sources to the index that the target has now
    ///
    /// Add the sources to the index that the target has now: what is there stays, with its attestations and annotations;
    /// a source takes the place of what is there of its platform. With several targets it is the first one's index.
    #[arg(long)]
    append: bool,
    /// Take these platforms out of the index that the target has now
    ///
    /// Take these platforms out of the index that the target has now, separated by commas; what else it has stays, and
    /// sources are added to it
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    remove: Vec<String>,
    /// What a source is, whatever its config says: a.io/web:1-arm=linux/arm/v7
    ///
    /// What a source, as it is written here, is, whatever its config says, as `docker manifest annotate` does:
    /// SOURCE=linux/arm/v7, SOURCE=windows/amd64,os.version=10.0.20348.2461, SOURCE=os.features=win32k
    #[arg(long, value_name = "SOURCE=PLATFORM")]
    annotate: Vec<String>,
    /// Annotate the index, or with entry[PLATFORM]: an entry
    ///
    /// Annotate the index, or with `entry[PLATFORM]:` before the key the entry of a platform, with `entry:` all of them.
    /// An index with annotations is an OCI index.
    #[arg(long, value_name = "[SCOPE:]KEY=VALUE")]
    annotation: Vec<String>,
    /// Exactly these platforms, in this order, or nothing is put
    ///
    /// Exactly these platforms, separated by commas, in this order; if any is missing, and if there is any other, nothing
    /// is put (exit code 7)
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    expect: Vec<String>,
    /// Which document the index is
    ///
    /// Which document the index is: `docker`, a manifest list, is refused where that cannot hold it; `auto`, the default,
    /// is one where it can, else an OCI index
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
    /// The first option that was given.
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

    /// What is to become of the index; `wanted` is `--platform`.
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
                "--annotation with --index-format docker: a Docker manifest list has no place for annotations";
            return Err(usage(message, "leave one of them out"));
        }
        Ok(Edit {
            base,
            platforms: platforms("--platform", wanted)?,
            expect: (!expect.is_empty()).then_some(expect),
            annotations: self.annotation.iter().map(|text| annotation(text)).collect::<Result<_, _>>()?,
            format,
        })
    }

    /// What `--annotate` says of each of `sources`, as they were typed.
    pub(crate) fn entries(&self, sources: &[String]) -> Result<Vec<EntryOverride>, Failure> {
        let mut entries: Vec<Option<EntryOverride>> = vec![None; sources.len()];
        for text in &self.annotate {
            let of = |source: &String| text.strip_prefix(source.as_str()).and_then(|rest| rest.strip_prefix('='));
            // One source may begin as another does.
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
                        "say all of it in one",
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
        [] => "there are no sources; what is in the target is named among them to be annotated".to_owned(),
        _ => format!("the sources are {}; write it as --annotate SOURCE=linux/arm64", sources.join(", ")),
    };
    usage(format!("--annotate {text}: {named} is none of the sources"), &hint)
}

/// `linux/arm/v7`, `windows/amd64,os.version=10.0.20348.2461`
fn entry(text: &str, said: &str) -> Result<EntryOverride, Failure> {
    let mut entry = EntryOverride::default();
    for (place, item) in said.split(',').enumerate() {
        let refused =
            |why: &str| usage(format!("--annotate {text}: {why}"), "as SOURCE=windows/amd64,os.version=10.0.20348");
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
    for platform in several(option, texts, &format!("as {option} linux/amd64,linux/arm64"))? {
        if platforms.contains(&platform) {
            return Err(usage(format!("{option} names {platform} twice"), "name it once"));
        }
        platforms.push(platform);
    }
    Ok(platforms)
}

fn annotation(text: &str) -> Result<Annotation, Failure> {
    let refused = |error| usage(format!("--annotation {text}: {error}"), "as 'entry[linux/arm64]:org.example.tier=2'");
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
    fn what_is_said_of_a_source_is_said_of_no_other() {
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
    fn what_is_said_of_no_source_or_in_no_known_way_is_refused() {
        for (annotate, says) in [
            (&["a.io/x=linux/arm64"][..], "a.io/x is none of the sources"),
            (&["linux/arm64"], "linux/arm64 is none of the sources"),
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
