//! The bodies of answers, read within limits.

use std::io::{self, Write};
use std::time::Duration;

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;

use super::io_error;
use crate::network::connect::{Target, reason};
use crate::network::limit::{Limit, TimeIsUp, seconds};

/// A body, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// How many bytes came, before they were decompressed.
    pub(crate) received: u64,
    /// Whether there is more than was read.
    pub(crate) is_cut: bool,
}

/// Why a body cannot be read; as a text it is a sentence that names the target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the answer of {target} ended after {received} bytes of its body{}", told(cause))]
    Broken { target: Target, received: u64, cause: hyper::Error },
    #[error("the answer of {target} could not be decompressed ({encoding}): {cause}")]
    Encoding { target: Target, encoding: &'static str, cause: io::Error },
    #[error("the answer of {target} was not complete within {}: {received} bytes of its body came", seconds(*after))]
    TimeIsUp { target: Target, received: u64, after: Duration },
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    None,
    Gzip,
    Deflate,
    Brotli,
}

impl Encoding {
    /// As `Content-Encoding` says; what is not known is left as it is.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let name = headers.get(CONTENT_ENCODING).and_then(|name| name.to_str().ok()).unwrap_or_default();
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            _ => Self::None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }
}

/// Reads a body, at most `most` bytes of it before and after it is decompressed; `None`: to its end, and nothing is
/// kept.
pub(super) async fn read(
    body: &mut Incoming,
    encoding: Encoding,
    most: Option<usize>,
    target: &Target,
    limit: &Limit,
) -> Result<Body, BodyError> {
    let garbled = |cause| BodyError::Encoding { target: target.clone(), encoding: encoding.name(), cause };
    let mut kept = Some(Kept { bytes: Vec::new(), most, is_full: false });
    let mut decoder = None;
    let (mut received, mut is_cut) = (0, false);
    while !is_cut {
        let frame = match limit.hold(body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(cause))) => {
                return Err(BodyError::Broken { target: target.clone(), received, cause });
            }
            Err(TimeIsUp) => {
                let after = limit.elapsed();
                return Err(BodyError::TimeIsUp { target: target.clone(), received, after });
            }
        };
        let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) else { continue };
        let room = most.map_or(usize::MAX, |most| most.saturating_sub(received as usize));
        let taken = &data[..data.len().min(room)];
        received += taken.len() as u64;
        is_cut = taken.len() < data.len();
        if let Some(kept) = kept.take() {
            decoder = Some(Decoder::new(encoding, data[0], kept));
        }
        let Some(decoder) = &mut decoder else { continue };
        match decoder.write(taken) {
            Ok(()) => {}
            // A small body can become a large one.
            Err(_) if decoder.kept().is_full => is_cut = true,
            Err(cause) => return Err(garbled(cause)),
        }
    }
    let Some(mut decoder) = decoder else { return Ok(Body::default()) };
    if !is_cut {
        match decoder.finish() {
            Ok(()) => {}
            Err(_) if decoder.kept().is_full => is_cut = true,
            Err(cause) => return Err(garbled(cause)),
        }
    }
    Ok(Body { bytes: std::mem::take(&mut decoder.kept().bytes), received, is_cut })
}

/// Keeps bytes, up to a number, or counts on without keeping any.
struct Kept {
    bytes: Vec<u8>,
    most: Option<usize>,
    is_full: bool,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(most) = self.most else { return Ok(bytes.len()) };
        let taken = bytes.len().min(most - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        if taken < bytes.len() {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Plain(Kept),
    Gzip(MultiGzDecoder<Kept>),
    Zlib(ZlibDecoder<Kept>),
    /// What some servers send as `deflate`.
    Raw(DeflateDecoder<Kept>),
    Brotli(Box<DecompressorWriter<Kept>>),
}

impl Decoder {
    fn new(encoding: Encoding, first: u8, kept: Kept) -> Self {
        match encoding {
            Encoding::None => Self::Plain(kept),
            Encoding::Gzip => Self::Gzip(MultiGzDecoder::new(kept)),
            Encoding::Deflate if first & 0x8f == 8 => Self::Zlib(ZlibDecoder::new(kept)),
            Encoding::Deflate => Self::Raw(DeflateDecoder::new(kept)),
            Encoding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(kept, 16 * 1024))),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(kept) => kept.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Zlib(decoder) => decoder.write_all(bytes),
            Self::Raw(decoder) => decoder.write_all(bytes),
            Self::Brotli(decoder) => decoder.write_all(bytes),
        }
    }

    /// Writes what is left.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
        }
    }

    fn kept(&mut self) -> &mut Kept {
        match self {
            Self::Plain(kept) => kept,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Raw(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
        }
    }
}

fn told(error: &hyper::Error) -> String {
    match io_error(error) {
        Some(io) if io.kind() != io::ErrorKind::UnexpectedEof => format!(": {}", reason(io)),
        _ => String::new(),
    }
}
