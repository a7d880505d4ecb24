/** Numbers of tests by outcome. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NO_TESTS: Counts = { passed: 0, failed: 0, skipped: 0 };

/** The part of vitest's JSON report that is used here. */
export interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    /** `failed` without a failed assertion means that the file itself couldn't run. */
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/**
 * Counts the tests of a report. A file that failed outside its tests (in an import or hook) counts as one failed test,
 * so that it isn't overlooked.
 */
export function countReport(report: VitestReport): Counts {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const file of report.testResults) {
    let failedInFile = 0;
    for (const { status } of file.assertionResults) {
      if (status === "passed") passed++;
      else if (status === "failed") failedInFile++;
      else skipped++;
    }
    if (file.status === "failed" && failedInFile === 0) failedInFile = 1;
    failed += failedInFile;
  }
  return { passed, failed, skipped };
}

export function addCounts(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** The last line of a test run. */
export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
