"""Container sniffing: accepts a video file by its first bytes, and Matroska only if it is whole.

ffmpeg opens some kinds of text (playlists, concatenation lists) by reading the files and addresses named in them, so a
file reaches a decoder only if its container is listed here. The signatures are those of the formats' specifications.
"""

from __future__ import annotations

from identity_reward_client.errors import InvalidMedia

# ffmpeg's names of the demultiplexers that may be used
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,h264,hevc,ivf,yuv4mpegpipe"
_ACCEPTED = "MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF"
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"uuid")
# identifiers of elements of Matroska and WebM (RFC 8794, RFC 9559): the header, and the segment with all else
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_STARTS = (
    _EBML,
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"GIF87a",
    b"GIF89a",
    b"DKIF",  # IVF
    b"YUV4MPEG2 ",
    b"\x00\x00\x01",  # MPEG program and elementary streams, H.264 and HEVC
    b"\x00\x00\x00\x01",
)
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")


def check_container(data: bytes) -> None:
    """InvalidMedia unless `data` starts like a video file of an accepted container."""
    head = bytes(data[:16])
    if not head:
        raise InvalidMedia("the video is empty (0 bytes)")
    if not any(head):
        raise InvalidMedia(f"the video's {len(data)} bytes start with zeros: that is no video file")
    if head.startswith(_IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        raise InvalidMedia(f"an image was given where a video file ({_ACCEPTED}) is needed")
    if head.startswith(_EBML):
        _check_matroska_end(data)
    if head[4:8] in _MP4_BOXES or head.startswith(_STARTS) or (head[:4] == b"RIFF" and head[8:11] == b"AVI"):
        return
    if head[0] == 0x47 and (len(data) <= 188 or data[188] == 0x47):  # MPEG-TS packets
        return
    raise InvalidMedia(f"the {len(data)} bytes are no video file of a known kind; accepted are {_ACCEPTED}")


def _check_matroska_end(data: bytes) -> None:
    """InvalidMedia for a file that ends before its segment does. A live stream states no size of its segment."""
    start = data.find(_SEGMENT, 0, 4096) + len(_SEGMENT)
    if start < len(_SEGMENT) or start >= len(data):
        return
    # the number of leading zero bits of the first byte is the number of bytes that follow (RFC 8794, section 4)
    width = 9 - data[start].bit_length()
    digits = data[start : start + width]
    size = int.from_bytes(digits) & ((1 << 7 * width) - 1)
    is_stated = width <= 8 and len(digits) == width and size != (1 << 7 * width) - 1
    if is_stated and start + width + size > len(data):
        raise InvalidMedia(
            f"the video is cut short: its header states {start + width + size} bytes, {len(data)} are there"
        )
