//! The names of all kinds of events. The enums of events may grow, so a display of another crate cannot match them
//! exhaustively. The program's tests compare its displays with these lists instead.

use super::events::{Event, ImageEvent, JobEvent};

/// Names the kinds of an event. The match is exhaustive: a new kind without a name does not compile.
macro_rules! kinds {
    ($event:ident { $($kind:ident = $name:literal,)* }) => {
        impl $event {
            /// The names of all kinds.
            #[doc(hidden)]
            pub const KINDS: &[&str] = &[$($name),*];

            /// The name of the event's kind, as in JSON.
            #[doc(hidden)]
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $name,)*
                }
            }
        }
    };
}

kinds!(Event {
    Started = "started",
    Job = "job",
    Image = "image",
    Warning = "warning",
    Failed = "failed",
    Stopping = "stopping",
});

kinds!(JobEvent {
    BuildStarted = "build_started",
    Moved = "moved",
    StepStarted = "step_started",
    StepEnded = "step_ended",
    Log = "log",
    Progress = "progress",
    Built = "built",
    PushStarted = "push_started",
    Pushed = "pushed",
    Chosen = "chosen",
    CopyStarted = "copy_started",
    Copied = "copied",
    Confirmed = "confirmed",
    Retried = "retried",
    StillRunning = "still_running",
    Failed = "failed",
    NotBuilt = "not_built",
    Cancelled = "cancelled",
});

kinds!(ImageEvent {
    Waiting = "waiting",
    RepositoryCreated = "repository_created",
    Fixed = "fixed",
    Joined = "joined",
    Copying = "copying",
    Copied = "copied",
    ArchTagCopied = "arch_tag_copied",
    ArchTagRemoved = "arch_tag_removed",
    Tagging = "tagging",
    TagRefused = "tag_refused",
    NotChecked = "not_checked",
    Tagged = "tagged",
    Verified = "verified",
    TaggedOnEngine = "tagged_on_engine",
    Loaded = "loaded",
    NotJoined = "not_joined",
    Withheld = "withheld",
    Failed = "failed",
});
