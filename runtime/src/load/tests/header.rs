//! The fixed header: identity, and every reason to refuse it.

use super::small::{lut, single};
use super::{TestModel, load, zoo};
use crate::error::{LoadError, Section};
use crate::format::aligned::AlignedBlob;
use crate::format::family::Family;
use crate::format::header::{Header, Summary, checksum};

#[test]
fn the_summary_is_the_headers() {
    let parts = zoo();
    let blob = parts.blob();
    let summary = Summary::from_bytes(&blob).unwrap();
    assert_eq!((summary.tensors, summary.ops), (15, 14));
    assert_eq!(summary.arena_bytes, parts.program.arena_bytes);
    assert_eq!(summary.length as usize, blob.len());
    assert_eq!(summary.weights_bytes as usize, parts.weights.len());
    assert_eq!(summary.parameters_bytes as usize, 4 * parts.params.len());
    let header = Header::parse(&blob).unwrap();
    assert_eq!(header.emit(), blob[..64]);
    // The known check value of CRC-32: nine digits behind twenty bytes that it skips.
    let mut bytes = *b"....................123456789";
    bytes[10] = 0;
    assert_eq!(checksum(&bytes), 0xCBF4_3926);
    // A field before them that may hold several values takes part.
    bytes[10] = 1;
    assert_eq!(checksum(&bytes), 0xCBF4_3926 ^ 0x0101_0101);
}

#[test]
fn bytes_behind_the_blob_are_ignored() {
    let mut blob = zoo().blob();
    blob.extend([0xFF; 100]);
    assert_eq!(load(&blob), Ok(()));
}

#[test]
fn a_damaged_header_is_refused() {
    use LoadError::*;
    type Case = (fn(&mut Vec<u8>), fn(LoadError) -> bool);
    let cases: &[Case] = &[
        (
            |b| b.truncate(63),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 63
                    }
                )
            },
        ),
        (
            |b| b.truncate(5),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 5
                    }
                )
            },
        ),
        (
            |b| b.clear(),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 0
                    }
                )
            },
        ),
        (|b| *b = b"ELF".to_vec(), |e| e == Magic),
        (
            |b| b.truncate(b.len() - 1),
            |e| matches!(e, TooShort { .. }),
        ),
        (
            |b| b[12..16].copy_from_slice(&32_u32.to_le_bytes()),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 32
                    }
                )
            },
        ),
        (|b| b[7] = b'\r', |e| e == Magic),
        (
            |b| b[8] = 2,
            |e| {
                e == Version {
                    expected: 1,
                    found: 2,
                }
            },
        ),
        (|b| b[10] = 3, |e| e == LoadError::Packing { found: 3 }),
        (|b| b[11] = 1, |e| e == Arithmetic { found: 1 }),
        (|b| b[60] = 1, |e| e == Reserved { found: 1 }),
        (
            |b| b[20] = 80,
            |e| {
                e == SectionOffset {
                    section: Section::Program,
                    expected: 64,
                    found: 80,
                }
            },
        ),
        (
            |b| b[24..28].fill(0xFF),
            |e| {
                e == SectionLength {
                    section: Section::Program,
                    found: u32::MAX,
                }
            },
        ),
        (
            |b| b[40] += 1,
            |e| {
                matches!(
                    e,
                    SectionLength {
                        section: Section::Parameters,
                        ..
                    }
                )
            },
        ),
        (
            |b| b[49] += 1,
            |e| {
                matches!(
                    e,
                    SectionLength {
                        section: Section::Metadata,
                        ..
                    }
                )
            },
        ),
        (
            |b| *b.last_mut().unwrap() = 1,
            |e| {
                e == Padding {
                    section: Section::Metadata,
                }
            },
        ),
        (
            |b| b[52] = 14,
            |e| {
                e == TensorCount {
                    expected: 14,
                    found: 15,
                }
            },
        ),
        (
            |b| b[52] = 17,
            |e| {
                e == TensorCapacity {
                    capacity: 16,
                    found: 17,
                }
            },
        ),
        (
            |b| b[54] = 13,
            |e| {
                e == OpCount {
                    expected: 13,
                    found: 14,
                }
            },
        ),
        (
            |b| b[54] = 17,
            |e| {
                e == OpCapacity {
                    capacity: 16,
                    found: 17,
                }
            },
        ),
        (|b| b[56] ^= 1, |e| matches!(e, ArenaBytes { .. })),
        (
            |b| b[24] -= 1,
            |e| {
                matches!(
                    e,
                    Padding {
                        section: Section::Program
                    } | Program
                )
            },
        ),
    ];
    let original = zoo().blob();
    for (index, (change, expected)) in cases.iter().enumerate() {
        let mut blob = original.clone();
        change(&mut blob);
        if blob.len() >= 64 {
            let end =
                (u32::from_le_bytes(blob[12..16].try_into().unwrap()) as usize).min(blob.len());
            let crc = checksum(&blob[..end]);
            blob[16..20].copy_from_slice(&crc.to_le_bytes());
        }
        let error = load(&blob).unwrap_err();
        assert!(expected(error), "case {index}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
    let mut blob = original.clone();
    blob[100] ^= 1;
    assert!(matches!(load(&blob), Err(Checksum { .. })));
    // A varint that never ends.
    let mut blob = original.clone();
    blob[64..80].fill(0xFF);
    let crc = checksum(&blob);
    blob[16..20].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(load(&blob), Err(Program));
    // One byte past a multiple of 16.
    let mut shifted = vec![0];
    shifted.extend(original);
    let aligned = AlignedBlob::new(&shifted);
    assert_eq!(
        TestModel::from_bytes(&aligned[1..]).unwrap_err(),
        Misaligned { found: 1 }
    );
}

#[test]
fn a_build_takes_blobs_of_its_own_family_and_of_the_scalar_one() {
    for packing in Family::ALL {
        let mut parts = zoo();
        parts.program.packing = packing;
        let blob = parts.blob();
        let check = |build| Header::check_for(build, &blob).map(|_| ());
        assert_eq!(Header::check(&blob).map(|_| ()), Ok(()));
        assert_eq!(check(None), Ok(()));
        for build in Family::ALL {
            let expected = if packing == Family::Scalar || packing == build {
                Ok(())
            } else {
                Err(LoadError::OtherFamily {
                    packing: packing.name(),
                })
            };
            assert_eq!(check(Some(build)), expected, "{packing:?} for {build:?}");
        }
        assert_eq!(Summary::from_bytes(&blob).unwrap().packing, packing);
        assert_eq!(Family::from_code(packing as u8), Some(packing));
        assert!(packing.is_available(), "this build has all");
        assert_eq!(Family::of_build(packing), packing);
    }
    assert_eq!(Family::from_code(3), None);
    let names = Family::ALL.map(Family::name);
    assert_eq!(names, ["scalar", "dsp", "mve"]);
}

/// A blob with something in each section, and little in all.
fn small() -> Vec<u8> {
    let mut parts = single(&lut(0, 1), [1, 1, 4], [1, 1, 4], Family::Scalar);
    parts.weights.truncate(256);
    parts.params.truncate(4);
    parts.blob()
}

/// Checks a header whose bytes were changed, with the checksum made right again.
fn changed(change: impl Fn(&mut Vec<u8>)) -> Result<(), LoadError> {
    let mut blob = small();
    change(&mut blob);
    let end = u32::from_le_bytes(blob[12..16].try_into().unwrap()) as usize;
    let crc = checksum(&blob[..end.min(blob.len())]);
    blob[16..20].copy_from_slice(&crc.to_le_bytes());
    Summary::from_bytes(&blob).map(|_| ())
}

fn add(blob: &mut [u8], at: usize, change: i32) {
    let field: &mut [u8; 4] = (&mut blob[at..at + 4]).try_into().unwrap();
    *field = u32::from_le_bytes(*field)
        .wrapping_add_signed(change)
        .to_le_bytes();
}

#[test]
fn each_field_is_refused_on_either_side() {
    let blob = small();
    assert!(Header::parse(&blob[..64]).is_ok());
    assert_eq!(changed(|_| {}), Ok(()));
    for change in [-1, 1] {
        let first = changed(|b| b[0] = b[0].wrapping_add_signed(change));
        assert_eq!(first, Err(LoadError::Magic));
        let found = 1_u16.wrapping_add_signed(change.into());
        let version = changed(|b| b[8..10].copy_from_slice(&found.to_le_bytes()));
        let expected = 1;
        assert_eq!(version, Err(LoadError::Version { expected, found }));
        // The checksum itself.
        let mut blob = blob.clone();
        let right = u32::from_le_bytes(blob[16..20].try_into().unwrap());
        add(&mut blob, 16, change.into());
        let refused = LoadError::Checksum {
            expected: right.wrapping_add_signed(change.into()),
            found: right,
        };
        assert_eq!(Summary::from_bytes(&blob), Err(refused));
    }
    for length in [0, 1, 63] {
        let refused = LoadError::TooShort {
            expected: 64,
            found: length,
        };
        let found = changed(|b| b[12..16].copy_from_slice(&length.to_le_bytes()));
        assert_eq!(found, Err(refused));
    }
    // A header alone has no program.
    let refused = LoadError::SectionLength {
        section: Section::Program,
        found: u32::from_le_bytes(blob[24..28].try_into().unwrap()),
    };
    let alone = changed(|b| b[12..16].copy_from_slice(&64_u32.to_le_bytes()));
    assert_eq!(alone, Err(refused));
    // Bytes that are no blob.
    assert_eq!((checksum(&[]), checksum(&[1; 10])), (0, 0));
}

#[test]
fn each_section_is_where_the_last_one_ends_and_as_long_as_it_says() {
    let blob = small();
    let header = Header::parse(&blob).unwrap();
    for ((section, range), at) in header.sections().into_iter().zip([20, 28, 36, 44]) {
        for change in [-16, -1, 1, 16] {
            let refused = LoadError::SectionOffset {
                section,
                expected: range.offset,
                found: range.offset.wrapping_add_signed(change),
            };
            assert_eq!(changed(|b| add(b, at, change)), Err(refused));
        }
        // Longer than the blob, and longer than 32 bits hold.
        for found in [header.length, u32::MAX - range.offset, u32::MAX] {
            let long = changed(|b| b[at + 4..at + 8].copy_from_slice(&found.to_le_bytes()));
            assert_eq!(long, Err(LoadError::SectionLength { section, found }));
        }
    }
    // Parameters are whole.
    for change in [-3, -2, -1, 1, 2, 3] {
        let section = Section::Parameters;
        let found = header.parameters.length.wrapping_add_signed(change);
        let refused = LoadError::SectionLength { section, found };
        assert_eq!(changed(|b| add(b, 40, change)), Err(refused));
    }
    // Bytes of the blob behind the last section.
    let refused = LoadError::SectionLength {
        section: Section::Metadata,
        found: header.metadata.length,
    };
    let longer = changed(|b| {
        b.extend([0; 16]);
        add(b, 12, 16);
    });
    assert_eq!(longer, Err(refused));
}
