//! Decompresses a layer into its tar archive.

use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest accepted window of a zstd frame, in bytes. Every reader supports 8 MiB (RFC 8878, 3.1.1.1.2), which is
/// enough for levels up to 19.
pub const MAX_WINDOW: u64 = 16 << 20;

type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// A tar archive that may be compressed.
pub(super) enum Unpacked<R: Read> {
    Plain(Peeked<R>),
    Gzip(MultiGzDecoder<BufReader<Peeked<R>>>),
    Zstd(Box<Zstd<BufReader<Peeked<R>>>>),
}

/// Whether a layer with this beginning is compressed with zstd: it starts with a frame or with a skippable frame (RFC
/// 8878, 3.1.2).
#[must_use]
pub fn is_zstd(layer: &[u8]) -> bool {
    matches!(layer, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

impl<R: Read> Unpacked<R> {
    /// Chooses the compression by the first bytes, like containerd, because media types can be wrong.
    pub(super) fn of(mut layer: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(4);
        layer.by_ref().take(4).read_to_end(&mut magic)?;
        let all = |magic: Vec<u8>| Cursor::new(magic).chain(layer);
        Ok(match magic[..] {
            [0x1f, 0x8b, ..] => Self::Gzip(MultiGzDecoder::new(BufReader::new(all(magic)))),
            _ if is_zstd(&magic) => {
                let mut frames = FrameDecoder::new();
                frames.set_max_window_size(MAX_WINDOW);
                Self::Zstd(Box::new(Zstd { source: BufReader::new(all(magic)), frames, is_open: false }))
            }
            _ => Self::Plain(all(magic)),
        })
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

/// Reads consecutive frames (RFC 8878, 3.1). Layers that can be read in parts consist of many frames.
pub(super) struct Zstd<R> {
    source: R,
    frames: FrameDecoder,
    is_open: bool,
}

impl<R: Read> Zstd<R> {
    /// Begins the next frame. Returns `false` if there is no more frame.
    fn open(&mut self) -> io::Result<bool> {
        loop {
            match self.frames.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::MagicNumberReadError(error)))
                    if error.kind() == ErrorKind::UnexpectedEof =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_open && !self.open()? {
                return Ok(0);
            }
            self.is_open = true;
            while self.frames.can_collect() == 0 && !self.frames.is_finished() {
                let block = self.frames.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                block.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            }
            if self.frames.can_collect() > 0 {
                return self.frames.read(buffer);
            }
            self.is_open = false;
        }
    }
}
