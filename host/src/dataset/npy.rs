//! The `.npy` format: headers, checked against the file size, and elements.
//!
//! A header is only a claim. Nothing is allocated for the elements before shape and element type give exactly the bytes of the file.

use std::io::Read;

use super::array::{Array, Values};

/// First bytes of every `.npy` file.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Limit of a header: 128 bytes are usual for plain arrays.
const MAX_HEADER: u64 = 1 << 16;
/// As in NumPy.
const MAX_AXES: usize = 64;
/// Elements that are converted at a time.
const BLOCK: usize = 1 << 14;

/// Reason why an array cannot be read.
#[derive(Debug)]
pub(super) enum NpyError {
    /// The elements have this type, which is none of those that can be read.
    ElementType(String),
    /// Anything else, in words.
    Problem(String),
}

impl From<String> for NpyError {
    fn from(problem: String) -> Self {
        NpyError::Problem(problem)
    }
}

impl From<std::io::Error> for NpyError {
    fn from(error: std::io::Error) -> Self {
        NpyError::Problem(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Contents of a header.
#[derive(Debug, PartialEq)]
struct Header {
    /// The type of the elements, as `<f4`.
    descriptor: String,
    /// Whether the first axis is the fastest.
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads an array from `source`, of the stated length `size` in bytes.
pub(super) fn read(source: impl Read, size: u64) -> Result<Array, NpyError> {
    // One more than there should be: who reads on finds the end, where an archive compares its checksum.
    let mut source = source.take(size.saturating_add(1));
    let (header, elements) = read_sound_header(&mut source, size)?;
    let (kind, _) = element_type(&header.descriptor)?;
    let values = read_values(&mut source, kind, elements)?;
    if source.read(&mut [0])? != 0 {
        return Err("it is longer than it says".to_owned().into());
    }
    Array::new(header.shape, header.fortran, values).map_err(NpyError::Problem)
}

/// Shape of an array in `source`, of the stated length `size` in bytes; no elements are read.
pub(super) fn shape(source: impl Read, size: u64) -> Result<Vec<usize>, NpyError> {
    let (header, _) = read_sound_header(&mut source.take(size), size)?;
    Ok(header.shape)
}

/// Reads a header that suits the `size` bytes of its file, and says how many elements follow.
fn read_sound_header(source: &mut impl Read, size: u64) -> Result<(Header, usize), NpyError> {
    let (header, header_bytes) = read_header(source, size)?;
    let Header {
        descriptor, shape, ..
    } = &header;
    let (_, bytes) = element_type(descriptor)?;
    // Axes of size 0 hide no overflow: whoever multiplies in another order would meet it.
    let product = shape
        .iter()
        .filter(|&&axis| axis != 0)
        .try_fold(bytes, |product, &axis| product.checked_mul(axis))
        .ok_or_else(|| format!("its shape {shape:?} is larger than any memory"))?;
    let claimed = if shape.contains(&0) { 0 } else { product };
    let left = size.saturating_sub(header_bytes);
    if claimed as u64 != left {
        return Err(format!(
            "shape {shape:?} of type {descriptor} takes {claimed} bytes, but {left} follow the header"
        )
        .into());
    }
    Ok((header, claimed / bytes))
}

/// Reads magic, version and header, and says how many bytes they are.
fn read_header(source: &mut impl Read, size: u64) -> Result<(Header, u64), NpyError> {
    let mut start = [0; 8];
    source.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err("it does not begin as .npy files do".to_owned().into());
    }
    let (length, prefix) = match start[6..] {
        [1, 0] => {
            let mut length = [0; 2];
            source.read_exact(&mut length)?;
            (u64::from(u16::from_le_bytes(length)), 10)
        }
        [2 | 3, 0] => {
            let mut length = [0; 4];
            source.read_exact(&mut length)?;
            (u64::from(u32::from_le_bytes(length)), 12)
        }
        _ => {
            let (major, minor) = (start[6], start[7]);
            return Err(format!("format version {major}.{minor}, expected 1.0, 2.0 or 3.0").into());
        }
    };
    let bytes = prefix + length;
    if bytes > size || length > MAX_HEADER {
        return Err(
            format!("a header of {length} bytes in {size}, expected at most {MAX_HEADER}").into(),
        );
    }
    let mut text = Vec::new();
    source.by_ref().take(length).read_to_end(&mut text)?;
    let text = str::from_utf8(&text).map_err(|_| "the header is not text".to_owned())?;
    let header = parse_header(text)?;
    Ok((header, bytes))
}

/// Parses a header, a Python dictionary: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse_header(text: &str) -> Result<Header, NpyError> {
    let mut text = Text(text);
    let (mut descriptor, mut fortran, mut shape) = (None, None, None);
    text.expect("{")?;
    while !text.found("}") {
        let key = text.string()?;
        text.expect(":")?;
        match key {
            "descr" if text.ahead("[") || text.ahead("(") => {
                return Err(NpyError::ElementType("several fields".to_owned()));
            }
            "descr" => descriptor = Some(text.string()?.to_owned()),
            "fortran_order" => fortran = Some(text.boolean()?),
            "shape" => shape = Some(text.tuple()?),
            _ => return Err(format!("unknown key `{key}` in the header").into()),
        }
        if !text.found(",") {
            text.expect("}")?;
            break;
        }
    }
    let missing = |key| move || format!("no `{key}` in the header");
    let header = Header {
        descriptor: descriptor.ok_or_else(missing("descr"))?,
        fortran: fortran.ok_or_else(missing("fortran_order"))?,
        shape: shape.ok_or_else(missing("shape"))?,
    };
    match text.0.trim() {
        "" => Ok(header),
        rest => Err(format!("`{}` behind the header", shortened(rest)).into()),
    }
}

/// Text of a header that is not read yet.
struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    fn ahead(&self, token: &str) -> bool {
        self.0.trim_start().starts_with(token)
    }

    fn found(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.found(token) {
            return Ok(());
        }
        let found = shortened(self.0.trim_start());
        Err(format!("`{found}` in the header, expected `{token}`"))
    }

    fn string(&mut self) -> Result<&'t str, String> {
        let quote = if self.ahead("\"") { "\"" } else { "'" };
        self.expect(quote)?;
        let (string, rest) = self
            .0
            .split_once(quote)
            .ok_or("a string without an end in the header")?;
        self.0 = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.found("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    /// Numbers in parentheses; one alone has a comma behind it.
    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut numbers = Vec::new();
        self.expect("(")?;
        while !self.found(")") {
            let text = self.0.trim_start();
            let end = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            let number = text[..end].parse().map_err(|_| {
                let found = shortened(text);
                format!("`{found}` in the shape, expected a number of elements")
            })?;
            numbers.push(number);
            self.0 = &text[end..];
            // Python 2 wrote long integers so.
            self.found("L");
            if !self.found(",") {
                self.expect(")")?;
                break;
            }
        }
        if numbers.len() > MAX_AXES {
            let axes = numbers.len();
            return Err(format!("{axes} axes, expected at most {MAX_AXES}"));
        }
        Ok(numbers)
    }
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> String {
    text.chars().take(24).collect()
}

/// Order of the elements in a file.
#[derive(Clone, Copy, Debug)]
struct ElementType<'d> {
    /// `f4` and so on.
    name: &'d str,
    big_endian: bool,
}

/// The type for a descriptor, and the bytes of an element.
fn element_type(descriptor: &str) -> Result<(ElementType<'_>, usize), NpyError> {
    let unknown = || NpyError::ElementType(descriptor.to_owned());
    let name = descriptor.trim_start_matches(['<', '>', '|', '=']);
    let bytes = match name {
        "u1" | "i1" => 1,
        "u2" | "i2" => 2,
        "f4" | "i4" => 4,
        "f8" | "i8" => 8,
        _ => return Err(unknown()),
    };
    let big_endian = match &descriptor[..descriptor.len() - name.len()] {
        "<" => false,
        ">" => true,
        "=" => cfg!(target_endian = "big"),
        "|" | "" if bytes == 1 => false,
        _ => return Err(unknown()),
    };
    Ok((ElementType { name, big_endian }, bytes))
}

fn read_values(
    source: &mut impl Read,
    kind: ElementType<'_>,
    count: usize,
) -> Result<Values, NpyError> {
    /// Elements by the function for their byte order.
    macro_rules! values {
        ($type:ty) => {
            if kind.big_endian {
                elements(source, count, <$type>::from_be_bytes)?
            } else {
                elements(source, count, <$type>::from_le_bytes)?
            }
        };
    }
    Ok(match kind.name {
        "f4" => Values::F32(values!(f32)),
        "f8" => Values::F64(values!(f64)),
        "u1" => Values::U8(values!(u8)),
        "i1" => Values::I8(values!(i8)),
        "u2" => Values::U16(values!(u16)),
        "i2" => Values::I16(values!(i16)),
        "i4" => Values::I32(values!(i32)),
        "i8" => Values::I64(values!(i64)),
        name => return Err(NpyError::ElementType(name.to_owned())),
    })
}

fn elements<T, const BYTES: usize>(
    source: &mut impl Read,
    count: usize,
    of: fn([u8; BYTES]) -> T,
) -> Result<Vec<T>, NpyError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| format!("its {count} elements do not fit into memory"))?;
    let mut buffer = vec![0; BYTES * count.min(BLOCK)];
    while values.len() < count {
        let now = BLOCK.min(count - values.len());
        let block = &mut buffer[..now * BYTES];
        source.read_exact(block)?;
        values.extend(block.as_chunks().0.iter().map(|&bytes| of(bytes)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this header and data.
    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[version, 0]].concat();
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    fn shaped(shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        file(1, &header, data)
    }

    fn problem(bytes: &[u8]) -> String {
        match read(bytes, bytes.len() as u64) {
            Err(NpyError::Problem(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_versions_orders_and_ways_of_writing_are_read() {
        let values = |bytes: &[u8]| {
            let array = read(bytes, bytes.len() as u64).expect("reads");
            let mut values = Vec::new();
            array.extend_f32(0..array.shape.iter().product(), &mut values);
            (array.shape, values)
        };
        let expected = (vec![3], vec![1.0, 2.0, 258.0]);
        for version in [1, 2, 3] {
            let little = "{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }   \n";
            let bytes = file(version, little, &[1, 0, 2, 0, 2, 1]);
            assert_eq!(values(&bytes), expected, "{version}");
        }
        let big = "{\"shape\":(3L,),\"fortran_order\":True,\"descr\":\">i2\"}";
        assert_eq!(values(&file(1, big, &[0, 1, 0, 2, 1, 2])), expected);
        let columns = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}";
        assert_eq!(
            values(&file(1, columns, &[0, 3, 1, 4, 2, 5])),
            (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
        );
        let scalar = shaped("()", &1.5f32.to_le_bytes());
        assert_eq!(values(&scalar), (vec![], vec![1.5]));
        assert_eq!(values(&shaped("(0, 7)", &[])), (vec![0, 7], vec![]));
        // More elements than are converted at a time.
        let many: Vec<u8> = (0..40_000).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let (_, many) = values(&shaped("(40000,)", &many));
        assert!(many.iter().enumerate().all(|(i, &x)| x == i as f32));
    }

    #[test]
    fn claims_are_held_to_the_size_of_the_file() {
        let huge = problem(&shaped("(2305843009213693951,)", &[0; 900]));
        assert!(
            huge.contains("2305843009213693951") && huge.contains("900"),
            "{huge}"
        );
        let zero = problem(&shaped(
            "(0, 9223372036854775807, 9223372036854775807)",
            &[],
        ));
        assert!(zero.contains("larger than any memory"), "{zero}");
        let beyond = problem(&shaped("(99999999999999999999,)", &[]));
        assert!(beyond.contains("expected a number"), "{beyond}");
        let longer = problem(&shaped("(2,)", &[0; 9]));
        assert!(longer.contains("8 bytes, but 9 follow"), "{longer}");
        let shorter = problem(&shaped("(2,)", &[0; 7]));
        assert!(shorter.contains("8 bytes, but 7 follow"), "{shorter}");

        let mut header = [&MAGIC[..], &[2, 0], &u32::MAX.to_le_bytes()].concat();
        header.push(b'{');
        assert_eq!(header.len(), 13);
        let header = problem(&header);
        assert!(header.contains("4294967295 bytes in 13"), "{header}");
        // A source that is shorter or longer than it says.
        let whole = shaped("(2,)", &[0; 8]);
        assert!(read(&whole[..whole.len() - 1], whole.len() as u64).is_err());
        assert!(read(&[&whole[..], &[0]].concat()[..], whole.len() as u64).is_err());
    }

    #[test]
    fn broken_headers_are_errors() {
        let whole = shaped("(1,)", &[0; 4]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end], end as u64).is_err(), "{end}");
        }
        for (version, header) in [
            (1, "{'descr': '<f4', 'fortran_order': False}"),
            (1, "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}"),
            (
                1,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            ),
            (
                1,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
            ),
            (
                1,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            ),
            (1, "{'descr': '<f4"),
            (1, "[]"),
            (9, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}"),
        ] {
            problem(&file(version, header, &[0; 4]));
        }
        problem(&shaped(&"(".repeat(10_000), &[]));
        problem(&shaped(&format!("({})", "1,".repeat(65)), &[0; 4]));
        for descriptor in ["'<f2'", "'<u8'", "'|b1'", "'|f4'", "[('a', '<f4')]", "''"] {
            let header =
                format!("{{'descr': {descriptor}, 'fortran_order': False, 'shape': (1,)}}");
            let bytes = file(1, &header, &[0; 4]);
            let error = read(&bytes[..], bytes.len() as u64);
            assert!(
                matches!(error, Err(NpyError::ElementType(_))),
                "{descriptor}"
            );
        }
    }
}
