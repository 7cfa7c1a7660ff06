//! Layout of written blobs, and errors of the writer.

use super::Metadata;
use super::small::{POINT, conv, lut, port, tensor};
use crate::format::aligned::AlignedBlob;
use crate::format::header::{Header, saturate};
use crate::format::program::{Op, Scratch, Tensor};
use crate::format::write::{
    BlobWriter, ProgramParts, WriteError, arena_bytes, assemble, pack_int4_row, pack_int4_rows,
};

#[test]
fn a_copy_starts_at_a_multiple_of_16_and_has_the_same_bytes() {
    for length in [0, 1, 15, 16, 17, 31, 32, 33] {
        let bytes: Vec<u8> = (1..=length).collect();
        let blob = AlignedBlob::new(&bytes);
        assert_eq!(blob.as_bytes(), bytes);
        assert_eq!(&blob[..], bytes);
        assert_eq!(AlignedBlob::from(&bytes[..]), blob);
        assert_eq!(blob.as_ptr().addr() % 16, 0);
    }
}

#[test]
fn sections_grow_by_multiples_of_16_and_parameters_by_ones() {
    let mut writer = BlobWriter::new();
    assert_eq!(writer.append_weights(&[1; 16]).get(), 0);
    assert_eq!(writer.append_weights(&[2]).get(), 16);
    assert_eq!(writer.append_weights(&[]).get(), 32);
    assert_eq!(writer.append_int4_rows(&[1, 2, 3, 4, 5, 6], 3).get(), 32);
    assert_eq!(writer.weights().len(), 36);
    assert_eq!(
        writer.weights()[16..32],
        [[2].as_slice(), &[0; 15]].concat()
    );
    assert_eq!(writer.append_params(&[5, 6]).get(), 0);
    assert_eq!(writer.append_params(&[7]).get(), 2);
    assert_eq!(writer.params(), [5, 6, 7]);
    let writer = BlobWriter::with_sections(vec![3; 3], vec![4; 4]);
    assert_eq!(
        (writer.weights(), writer.params()),
        (&[3; 3][..], &[4; 4][..])
    );
}

#[test]
fn nibbles_are_packed_the_first_one_low() {
    assert_eq!(pack_int4_row(&[-1, 7]), [0x7F]);
    assert_eq!(pack_int4_row(&[-1]), [0x0F]);
    assert_eq!(pack_int4_row(&[7, -1, -7]), [0xF7_u8 as i8, 0x09]);
    assert!(pack_int4_row(&[]).is_empty());
    assert_eq!(pack_int4_rows(&[1, 2, 3], 1), [1, 2, 3]);
    assert_eq!(pack_int4_rows(&[1, 2, 3, 4], 2), [0x21, 0x43]);
}

#[test]
fn the_arena_ends_with_the_last_tensor_or_scratch_area_of_any_bytes() {
    let tensors = [tensor(8, [1, 2, 3]), tensor(0, [1, 1, 4])];
    let with = |offset, bytes| {
        let mut layer = conv(0, 1, POINT);
        layer.scratch = Scratch { offset, bytes };
        arena_bytes(&tensors, &[lut(0, 1), Op::Conv2d(layer)])
    };
    assert_eq!(arena_bytes(&tensors, &[]), 14);
    assert_eq!(arena_bytes(&[], &[]), 0);
    assert_eq!(with(14, 1), 15);
    assert_eq!(with(13, 1), 14);
    assert_eq!(with(100, 0), 14);
    assert_eq!(with(100, 1), 101);
    assert_eq!(with(u32::MAX, 1), u32::MAX);
    assert_eq!(with(u32::MAX - 1, 1), u32::MAX);
    let far: Tensor = tensor(u32::MAX, [2, 1, 1]);
    assert_eq!(arena_bytes(&[far], &[]), u32::MAX);
}

#[cfg_attr(miri, ignore = "65,536 tensors are too many for an interpreter")]
#[test]
fn counts_that_the_format_has_no_room_for_are_not_written() {
    let write = |change: &dyn Fn(&mut ProgramParts)| {
        let mut program = ProgramParts::default();
        change(&mut program);
        assemble(&program, &[], &[], &Metadata::default()).map(|blob| {
            let header = Header::parse(&blob).unwrap();
            (header.tensors, header.ops)
        })
    };
    for (ports, expected) in [(4, Ok((0, 0))), (5, Err(WriteError::Ports { found: 5 }))] {
        assert_eq!(write(&|p| p.inputs = vec![port(0); ports]), expected);
        assert_eq!(write(&|p| p.outputs = vec![port(0); ports]), expected);
    }
    let line = tensor(0, [1, 1, 1]);
    let tensors = |count| write(&|p| p.tensors = vec![line; count]);
    assert_eq!(tensors(65535), Ok((65535, 0)));
    assert_eq!(tensors(65536), Err(WriteError::Tensors { found: 65536 }));
    let ops = |count| write(&|p| p.ops = vec![lut(0, 1); count]);
    assert_eq!(ops(65535), Ok((0, 65535)));
    assert_eq!(ops(65536), Err(WriteError::Ops { found: 65536 }));
}

#[test]
fn a_length_in_a_message_is_at_most_the_largest_number() {
    assert_eq!([0, 5, 0xFFFF_FFFE].map(saturate), [0, 5, 0xFFFF_FFFE]);
    assert_eq!([u32::MAX as usize, usize::MAX].map(saturate), [u32::MAX; 2]);
}
