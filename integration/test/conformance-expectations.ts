/**
 * What libiscsi's conformance suite (iscsi-test-cu 1.19) is to find: test by test `pass`, or `skip: `
 * and what the test says when it skips itself, or `fail: ` where the test itself is wrong. CUnit counts skipped tests as passed, so they are told
 * apart here; one that begins to pass must be entered here as well.
 */

/** The families that have to be accounted for. */
export const wantedSuites =
  /^(Read|Write|Unmap|GetLBAStatus|CompareAndWrite|Prefetch|TestUnitReady|Inquiry|Mandatory|iSCSIResiduals|iSCSIcmdsn|iSCSIdatasn)/

const pass = 'pass'

/**
 * WriteSame10.UnmapUntilEnd sends a block of FFh with UNMAP=1, and then wants zeros: WriteSame16 sends
 * zeros. SBC-3 has what was sent read back, whatever UNMAP is, so the FFh is written.
 */
const untilEnd = 'fail: [FAILED] Blocks did not read back as zero'

export const expectations: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  CompareAndWrite: {
    Simple: pass,
    DpoFua: pass,
    Miscompare: pass,
    Unwritten: pass,
    InvalidDataOutSize: 'skip: LBPPB < 2. Skipping test',
  },
  GetLBAStatus: {
    Simple: pass,
    BeyondEol: pass,
    UnmapSingle: pass,
  },
  Inquiry: {
    Standard: pass,
    AllocLength: pass,
    EVPD: pass,
    BlockLimits: pass,
    MandatoryVPDSBC: pass,
    SupportedVPD: pass,
    VersionDescriptors: pass,
  },
  Mandatory: {
    MandatorySBC: pass,
  },
  Prefetch10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    Flags: pass,
  },
  Prefetch16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    Flags: pass,
  },
  Read6: {
    Simple: pass,
    BeyondEol: pass,
  },
  Read10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    ReadProtect: pass,
    DpoFua: pass,
    Async: pass,
  },
  Read12: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    ReadProtect: pass,
    DpoFua: pass,
  },
  Read16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    ReadProtect: pass,
    DpoFua: pass,
  },
  ReadCapacity10: {
    Simple: pass,
  },
  ReadCapacity16: {
    Simple: pass,
    Alloclen: pass,
    PI: pass,
    Support: pass,
  },
  ReadDefectData10: {
    Simple: pass,
  },
  ReadDefectData12: {
    Simple: pass,
  },
  ReadOnly: {
    ReadOnlySBC: 'skip: Logical unit is not write-protected. Skipping test.',
  },
  Unmap: {
    Simple: pass,
    VPD: pass,
    ZeroBlocks: pass,
  },
  TestUnitReady: {
    Simple: pass,
  },
  Write10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    DpoFua: pass,
    Async: pass,
  },
  Write12: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    DpoFua: pass,
  },
  Write16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    DpoFua: pass,
  },
  WriteAtomic16: {
    Simple: 'skip: WRITEATOMIC16 is not implemented.',
    BeyondEol: 'skip: WRITEATOMIC16 is not implemented.',
    ZeroBlocks: 'skip: WRITEATOMIC16 is not implemented.',
    WriteProtect: 'skip: WRITEATOMIC16 is not implemented.',
    DpoFua: 'skip: WRITEATOMIC16 is not implemented.',
    VPD: 'skip: WRITEATOMIC16 is not implemented.',
  },
  WriteSame10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Unmap: pass,
    UnmapUnaligned: 'skip: LBPPB < 2. Skipping test',
    UnmapUntilEnd: untilEnd,
    UnmapVPD: pass,
    Check: pass,
    InvalidDataOutSize: 'skip: LBPPB < 2. Skipping test',
  },
  WriteSame16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Unmap: pass,
    UnmapUnaligned: 'skip: LBPPB < 2. Skipping test',
    UnmapUntilEnd: pass,
    UnmapVPD: pass,
    Check: pass,
    InvalidDataOutSize: 'skip: LBPPB < 2. Skipping test',
  },
  WriteVerify10: {
    Simple: 'skip: WRITEVERIFY10 is not implemented.',
    BeyondEol: 'skip: WRITEVERIFY10 is not implemented.',
    ZeroBlocks: 'skip: WRITEVERIFY10 is not implemented.',
    WriteProtect: 'skip: WRITEVERIFY10 is not implemented.',
    Flags: 'skip: WRITEVERIFY10 is not implemented.',
    Dpo: 'skip: WRITEVERIFY10 is not implemented.',
  },
  WriteVerify12: {
    Simple: 'skip: WRITEVERIFY12 is not implemented.',
    BeyondEol: 'skip: WRITEVERIFY12 is not implemented.',
    ZeroBlocks: 'skip: WRITEVERIFY12 is not implemented.',
    WriteProtect: 'skip: WRITEVERIFY12 is not implemented.',
    Flags: 'skip: WRITEVERIFY12 is not implemented.',
    Dpo: 'skip: WRITEVERIFY12 is not implemented.',
  },
  WriteVerify16: {
    Simple: 'skip: WRITEVERIFY16 is not implemented.',
    BeyondEol: 'skip: WRITEVERIFY16 is not implemented.',
    ZeroBlocks: 'skip: WRITEVERIFY16 is not implemented.',
    WriteProtect: 'skip: WRITEVERIFY16 is not implemented.',
    Flags: 'skip: WRITEVERIFY16 is not implemented.',
    Dpo: 'skip: WRITEVERIFY16 is not implemented.',
  },
  iSCSIcmdsn: {
    iSCSICmdSnTooHigh: pass,
    iSCSICmdSnTooLow: pass,
  },
  iSCSIdatasn: {
    iSCSIDataSnInvalid: pass,
  },
  iSCSIResiduals: {
    Read10Invalid: pass,
    Read10Residuals: pass,
    Read12Residuals: pass,
    Read16Residuals: pass,
    Write10Residuals: pass,
    Write12Residuals: pass,
    Write16Residuals: pass,
    WriteVerify10Residuals: 'skip: WRITEVERIFY10 is not implemented.',
    WriteVerify12Residuals: 'skip: WRITEVERIFY12 is not implemented.',
    WriteVerify16Residuals: 'skip: WRITEVERIFY16 is not implemented.',
  },
}
