//! The windows of HTTP/2 between polyarch and an engine.

/// HTTP/2 flow control of gRPC with the engine: the most unread bytes of one stream and of all streams.
///
/// BuildKit sends many small frames, such as a short request for each file, or single log lines. Since 0.4.16 h2 ends a
/// connection with too many small unread frames (`too_many_data_frames`). Its limit is half of the connection's window,
/// here 32 MiB, and it counts up to 256 bytes for a frame. A stream's window full of ten-byte frames counts only 1.6
/// MiB.
pub(in crate::buildkit) const STREAM_WINDOW: u32 = 64 << 10;
pub(in crate::buildkit) const CONNECTION_WINDOW: u32 = 64 << 20;
