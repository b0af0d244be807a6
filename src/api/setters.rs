//! The methods that several builders have. A builder has a field of the same name for each.

macro_rules! setters {
    ($($setter:ident),+) => {
        $(crate::api::setters::setters!(@ $setter);)+
    };
    (@ access) => {
        /// The logins, certificates and proxies for registries. The default has no logins.
        pub fn access(self, access: crate::api::Access) -> Self {
            Self { access, ..self }
        }
    };
    (@ gates) => {
        /// The checks of a finished index. By default polyarch refuses an index that loses platforms, and images with
        /// programs for another processor.
        pub fn gates(self, gates: crate::run::Gates) -> Self {
            Self { gates, ..self }
        }
    };
    (@ moving) => {
        /// When final tags move. By default the tags of an image move when the image is ready.
        pub fn moving(self, moving: crate::run::PublishMode) -> Self {
            Self { moving, ..self }
        }
    };
    (@ shutdown) => {
        /// The signal that stops the run. polyarch then ends builds and pushes at once. A registry has 2 s to answer a
        /// request for a tag. By default nothing stops the run.
        pub fn shutdown(self, shutdown: crate::run::Shutdown) -> Self {
            Self { shutdown: Some(shutdown), ..self }
        }
    };
}

/// The methods that do the run `$run` of a builder. Its `prepare` makes the input of the run.
macro_rules! runs {
    ($run:path) => {
        /// Does the run. The report has the verified result, or every failure.
        /// [`Report::exit_code`](crate::report::Report::exit_code) is 0 only if the run did and verified everything.
        pub async fn run(self) -> crate::run::Report {
            self.run_with(|_, _| {}).await
        }

        /// Like [`Self::run`]. `on_event` receives each event at once, with the time since the run began. It must not
        /// block.
        pub async fn run_with(
            self,
            on_event: impl FnMut(std::time::Duration, &crate::run::Event) + Send,
        ) -> crate::run::Report {
            let shutdown = self.shutdown.clone();
            crate::api::record::record(
                shutdown,
                on_event,
                |notices| futures::FutureExt::boxed(self.prepare(notices)),
                |run, around, sink| futures::FutureExt::boxed($run(run, around, sink)),
            )
            .await
        }
    };
}

pub(super) use {runs, setters};
