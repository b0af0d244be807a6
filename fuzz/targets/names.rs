//! References, platforms, digests, hosts: a value that is read, written and read again is the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use polyarch::oci::{
    Annotation, Digest, LocatedReference, Platform, Reference, RegistryHost, Repository, RepositoryPath, Tag,
};

fn same<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(one) = text.parse::<T>() {
        let written = one.to_string();
        let again = written.parse::<T>().ok();
        assert_eq!(again.as_ref(), Some(&one), "{text:?} became {written:?}");
    }
}

fuzz_target!(|text: &str| {
    same::<Digest>(text);
    same::<Platform>(text);
    same::<Reference>(text);
    same::<RegistryHost>(text);
    same::<Repository>(text);
    same::<RepositoryPath>(text);
    same::<Tag>(text);
    let _ = text.parse::<LocatedReference>();
    if let Ok(annotation) = text.parse::<Annotation>() {
        assert!(!annotation.to_string().is_empty());
    }
});
