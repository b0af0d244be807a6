//! Which images' final tags move at once: each image's by itself, or those of all images together (`--atomic`).

/// When final tags move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Moving {
    /// Those of an image when it is ready.
    #[default]
    EachImage,
    /// Those of all images when all are ready (`--atomic`); if one image fails, none.
    AllImages,
}

/// Images on their way to their final tags: `P` is what is known of a ready one.
pub(super) struct Together<P> {
    moving: Moving,
    /// Images of the run.
    images: usize,
    ready: Vec<(usize, P)>,
    /// Why those that are ready will not be published: what became of another one, the first that was lost.
    lost: Option<String>,
}

/// What follows for an image that is ready.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<P> {
    /// Others are not.
    Wait,
    /// The tags of these move, in the order of the plan: of none, if one may not.
    Publish(Vec<(usize, P)>),
    /// Its tags stay where they are.
    Withhold(String),
}

impl<P> Together<P> {
    pub(super) fn new(moving: Moving, images: usize) -> Self {
        Self { moving, images, ready: Vec::new(), lost: None }
    }

    /// Takes an image that is ready.
    pub(super) fn ready(&mut self, image: usize, placed: P) -> Next<P> {
        if self.moving == Moving::EachImage {
            return Next::Publish(vec![(image, placed)]);
        }
        if let Some(reason) = &self.lost {
            return Next::Withhold(reason.clone());
        }
        self.ready.push((image, placed));
        if self.ready.len() < self.images {
            return Next::Wait;
        }
        self.ready.sort_by_key(|(image, _)| *image);
        Next::Publish(std::mem::take(&mut self.ready))
    }

    /// Takes note of an image that will not be ready: `web failed`. Gives the images that are now withheld, and why.
    pub(super) fn lose(&mut self, what: &str) -> Vec<(usize, String)> {
        if self.moving == Moving::EachImage || self.lost.is_some() {
            return Vec::new();
        }
        let reason = withheld(what);
        self.lost = Some(reason.clone());
        std::mem::take(&mut self.ready).into_iter().map(|(image, _)| (image, reason.clone())).collect()
    }
}

/// Why tags stay where they are, after `what` became of another image.
pub(super) fn withheld(what: &str) -> String {
    format!("--atomic, and {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_published_when_it_is_ready_whatever_becomes_of_others() {
        let mut each = Together::new(Moving::EachImage, 2);
        assert_eq!(each.lose("a failed"), []);
        assert_eq!(each.ready(1, "b"), Next::Publish(vec![(1, "b")]));
    }

    #[test]
    fn all_images_are_published_when_the_last_one_is_ready_in_the_plans_order() {
        let mut all = Together::new(Moving::AllImages, 3);
        assert_eq!(all.ready(2, "c"), Next::Wait);
        assert_eq!(all.ready(0, "a"), Next::Wait);
        assert_eq!(all.ready(1, "b"), Next::Publish(vec![(0, "a"), (1, "b"), (2, "c")]));
    }

    #[test]
    fn one_that_is_lost_withholds_those_before_and_after_it_and_the_first_one_is_named() {
        let mut all = Together::new(Moving::AllImages, 4);
        assert_eq!(all.ready(0, "a"), Next::Wait);
        let reason = "--atomic, and b failed".to_owned();
        assert_eq!(all.lose("b failed"), [(0, reason.clone())]);
        assert_eq!(all.lose("c failed"), []);
        assert_eq!(all.ready(3, "d"), Next::Withhold(reason));
    }
}
