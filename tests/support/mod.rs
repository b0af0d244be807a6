//! What the tests share: scripted peers behind sockets, the program under test.

pub(crate) mod scripted_registry;
