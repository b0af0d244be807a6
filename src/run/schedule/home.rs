//! The engine that an image returns to in each run, among equal engines of one entry of the plan, such as the pods with a
//! label. So the image finds its build cache there.
//!
//! This is rendezvous hashing: the highest hash of engine and image wins. If an engine comes or goes, only the images move
//! that it gets or had. BuildKit's README recommends such hashing to its clients.

use crate::oci::Digest;

/// The place of the engine for `image` in `engines`, which are names.
pub(super) fn home<'a>(image: &str, engines: impl Iterator<Item = &'a str>) -> Option<usize> {
    // The hexadecimal digits of hashes have the order of the hashes.
    let weight = |(_, engine): &(usize, &str)| Digest::of(format!("{engine}\0{image}").as_bytes()).to_string();
    engines.enumerate().max_by_key(weight).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(pods: &[&str]) -> Vec<String> {
        let image = |number: usize| home(&format!("image-{number}"), pods.iter().copied());
        (0..300).map(|number| pods[image(number).unwrap()].to_owned()).collect()
    }

    #[test]
    fn images_spread_evenly_and_return_to_their_engine() {
        let pods = ["ci/b-0", "ci/b-1", "ci/b-2"];
        let before = homes(&pods);
        assert_eq!(homes(&["ci/b-2", "ci/b-0", "ci/b-1"]), before);
        for pod in pods {
            let images = before.iter().filter(|home| *home == pod).count();
            assert!((70..130).contains(&images), "{pod} has {images}");
        }
        assert_eq!(home("image", std::iter::empty()), None);
    }

    #[test]
    fn only_images_of_a_lost_or_new_engine_move() {
        let before = homes(&["ci/b-0", "ci/b-1", "ci/b-2"]);
        for (old, new) in before.iter().zip(homes(&["ci/b-0", "ci/b-2"])) {
            assert!(*old == new || old == "ci/b-1");
        }
        for (old, new) in before.iter().zip(homes(&["ci/b-0", "ci/b-1", "ci/b-2", "ci/b-3"])) {
            assert!(*old == new || new == "ci/b-3");
        }
    }
}
