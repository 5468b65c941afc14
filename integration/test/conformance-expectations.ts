/**
 * What libiscsi's conformance suite (iscsi-test-cu 1.19) is to find: test by test `pass`, or `skip: `
 * and what the test says when it skips itself. CUnit counts skipped tests as passed, so they are told
 * apart here; one that begins to pass must be entered here as well. No test may fail: one that is wrong,
 * so that nothing right passes it or is skipped by it, is `not run: `, and why.
 */

/** As `platterd partition create --block-size` has them. */
export const blockSizes = ['512', '512e', '4kn'] as const
export type BlockSize = (typeof blockSizes)[number]

/** The same for every block size, or one for each. */
export type Expectation = string | Readonly<Record<BlockSize, string>>

const pass = 'pass'

/** Nothing is encrypted, so there is no key that could be thrown away. */
const noCryptographicErase =
  'skip: SANITIZE CRYPTO_ERASE is not implemented according to REPORT_SUPPORTED_OPCODES.'

/**
 * WRITE SAME(10) does not unmap here: WriteSame10.UnmapUntilEnd sends a block of FFh with UNMAP=1 and
 * wants zeros, while SBC-3 has what was sent read back. The suite for (16) sends zeros, and passes.
 */
const noUnmap10 = 'skip: Logical unit does not have LBPWS10. Skipping test'

/** It needs several logical blocks in a physical one. */
const passOn512e: Expectation = {
  '512': 'skip: LBPPB < 2. Skipping test',
  '512e': pass,
  '4kn': 'skip: LBPPB < 2. Skipping test',
}

/**
 * Having unmapped LBA 0 to i - 1, with 8 logical blocks in a physical one, it asks for the status at LBA
 * i + 1, and wants an answer that begins at i + 8 (test_get_lba_status_unmap_single.c:135); SBC-3 section
 * 5.5.2 has the first descriptor begin at the LBA asked for. With 1 in 1 both are the same. It would be
 * skipped only by a unit without UNMAP or without GET LBA STATUS.
 */
const notRunOn512e: Expectation = {
  '512': pass,
  '512e': 'not run: wants the status of another block than it asks for',
  '4kn': pass,
}

/**
 * Suites of which each test is run by itself. Sanitize.Reservations takes a RESERVE(6) on the second path, and
 * leaves its release to a logout that does not come when the path was given (mpath_sd2_put in
 * iscsi-multipath.c): with the same sessions, Sanitize.Reset would then meet the reservation.
 */
export const isolatedSuites: readonly string[] = ['Sanitize']

/** Suites that want a unit which refuses writes. */
export const writeProtectedSuites: readonly string[] = ['ReadOnly']

export const expectations: Readonly<Record<string, Readonly<Record<string, Expectation>>>> = {
  CompareAndWrite: {
    Simple: pass,
    DpoFua: pass,
    Miscompare: pass,
    Unwritten: pass,
    InvalidDataOutSize: passOn512e,
  },
  ExtendedCopy: {
    Simple: pass,
    ParamHdr: pass,
    DescrLimits: pass,
    DescrType: pass,
    ValidTgtDescr: pass,
    ValidSegDescr: pass,
  },
  GetLBAStatus: {
    Simple: pass,
    BeyondEol: pass,
    UnmapSingle: notRunOn512e,
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
  OrWrite: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    Protect: pass,
    DpoFua: pass,
    Verify: pass,
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
  ModeSense6: {
    AllPages: pass,
    Control: pass,
    'Control-D_SENSE': pass,
    'Control-SWP': pass,
    Residuals: pass,
  },
  NoMedia: {
    NoMediaSBC: pass,
  },
  PreventAllow: {
    Simple: 'skip: Logical unit is not removable. Skipping test.',
    Eject: 'skip: Logical unit is not removable. Skipping test.',
    ITNexusLoss: 'skip: Logical unit is not removable. Skipping test.',
    Logout: 'skip: Logical unit is not removable. Skipping test.',
    WarmReset: 'skip: Logical unit is not removable. Skipping test.',
    ColdReset: 'skip: Logical unit is not removable. Skipping test.',
    LUNReset: 'skip: Logical unit is not removable. Skipping test.',
    '2ITNexuses': 'skip: Logical unit is not removable. Skipping test.',
  },
  PrinReadKeys: {
    Simple: pass,
    Truncate: pass,
  },
  PrinServiceactionRange: {
    Range: pass,
  },
  PrinReportCapabilities: {
    Simple: pass,
  },
  ProutRegister: {
    Simple: pass,
  },
  ProutReserve: {
    Simple: pass,
    AccessEA: pass,
    AccessWE: pass,
    AccessEARO: pass,
    AccessWERO: pass,
    AccessEAAR: pass,
    AccessWEAR: pass,
    OwnershipEA: pass,
    OwnershipWE: pass,
    OwnershipEARO: pass,
    OwnershipWERO: pass,
    OwnershipEAAR: pass,
    OwnershipWEAR: pass,
  },
  ProutClear: {
    Simple: pass,
  },
  ProutPreempt: {
    RemoveRegistration: pass,
  },
  ReceiveCopyResults: {
    CopyStatus: pass,
    OpParams: pass,
  },
  ReportSupportedOpcodes: {
    Simple: pass,
    OneCommand: pass,
    RCTD: pass,
    SERVACTV: pass,
  },
  Reserve6: {
    Simple: pass,
    '2Initiators': pass,
    Logout: pass,
    ITNexusLoss: pass,
    TargetColdReset: pass,
    TargetWarmReset: pass,
    LUNReset: pass,
  },
  Sanitize: {
    BlockErase: pass,
    BlockEraseReserved: pass,
    CryptoErase: noCryptographicErase,
    CryptoEraseReserved: pass,
    ExitFailureMode: pass,
    InvalidServiceAction: pass,
    Overwrite: pass,
    OverwriteReserved: pass,
    // These two pass but for the part that is skipped.
    Readonly: noCryptographicErase,
    Reservations: noCryptographicErase,
    Reset: pass,
  },
  StartStopUnit: {
    Simple: 'skip: Media is not removable.',
    PwrCnd: pass,
    NoLoej: pass,
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
    ReadOnlySBC: pass,
  },
  Unmap: {
    Simple: pass,
    VPD: pass,
    ZeroBlocks: pass,
  },
  TestUnitReady: {
    Simple: pass,
  },
  Verify10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    VerifyProtect: pass,
    Flags: pass,
    Dpo: pass,
    Mismatch: pass,
    MismatchNoCmp: pass,
  },
  Verify12: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    VerifyProtect: pass,
    Flags: pass,
    Dpo: pass,
    Mismatch: pass,
    MismatchNoCmp: pass,
  },
  Verify16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    VerifyProtect: pass,
    Flags: pass,
    Dpo: pass,
    Mismatch: pass,
    MismatchNoCmp: pass,
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
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    DpoFua: pass,
    VPD: pass,
  },
  WriteSame10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Unmap: noUnmap10,
    UnmapUnaligned: noUnmap10,
    UnmapUntilEnd: noUnmap10,
    UnmapVPD: pass,
    Check: pass,
    InvalidDataOutSize: noUnmap10,
  },
  WriteSame16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Unmap: pass,
    UnmapUnaligned: passOn512e,
    UnmapUntilEnd: pass,
    UnmapVPD: pass,
    Check: pass,
    InvalidDataOutSize: noUnmap10,
  },
  WriteVerify10: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Flags: pass,
    Dpo: pass,
  },
  WriteVerify12: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Flags: pass,
    Dpo: pass,
  },
  WriteVerify16: {
    Simple: pass,
    BeyondEol: pass,
    ZeroBlocks: pass,
    WriteProtect: pass,
    Flags: pass,
    Dpo: pass,
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
    WriteVerify10Residuals: pass,
    WriteVerify12Residuals: pass,
    WriteVerify16Residuals: pass,
  },
  iSCSITMF: {
    AbortTaskSimpleAsync: pass,
    LUNResetSimpleAsync: pass,
  },
  MultipathIO: {
    Simple: pass,
    Reset: pass,
    CompareAndWrite: pass,
    CompareAndWriteAsync: pass,
  },
}
