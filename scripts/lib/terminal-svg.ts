/** An in-memory terminal that renders its screen as SVG. */

import * as headless from "@xterm/headless";

// Node.js only provides a default export, but the types declare named ones.
const { Terminal } = (headless as unknown as { readonly default: typeof headless }).default;
type Terminal = InstanceType<typeof headless.Terminal>;
type Cell = NonNullable<ReturnType<NonNullable<ReturnType<Terminal["buffer"]["active"]["getLine"]>>["getCell"]>>;

const CELL = { width: 8.4, height: 18 };
const PADDING = 16;
/** Distance of a letter's baseline from the top of its cell. */
const BASELINE = 13.5;
const FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";
const BACKGROUND = "#22272e";
const FOREGROUND = "#cdd9e5";
/** A terminal's eight colours. The picture has its own dark background, for light and dark pages. */
const COLOURS = ["#545d68", "#f47067", "#6bc46d", "#daaa3f", "#539bf5", "#b083f0", "#56c2c8", "#cdd9e5"];
const DIM = "#8b97a3";
const LOWER_BLOCKS = "▁▂▃▄▅▆▇█";
const LIGHT_SHADE = "░";

/** A terminal that processes output incrementally. */
export class Screen {
  readonly #terminal: Terminal;

  constructor(columns: number, rows: number) {
    this.#terminal = new Terminal({ cols: columns, rows, allowProposedApi: true });
  }

  /** Writes output. Resolves when it is on the screen. */
  write(output: string): Promise<void> {
    return new Promise((resolve) => this.#terminal.write(output, resolve));
  }

  get lines(): string[] {
    return Array.from({ length: this.#terminal.rows }, (_, row) => this.#line(row).translateToString(true));
  }

  /** Renders the current screen. */
  svg(title: string): string {
    const { cols, rows } = this.#terminal;
    const width = Math.ceil(cols * CELL.width + 2 * PADDING);
    const height = Math.ceil(rows * CELL.height + 2 * PADDING);
    const body = Array.from({ length: rows }, (_, row) => this.#runs(row).map((run) => shape(run, row)));
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" xml:space="preserve">`,
      `<title>${escaped(title)}</title>`,
      "<style>text { white-space: pre }</style>",
      `<rect width="${width}" height="${height}" rx="8" fill="${BACKGROUND}"/>`,
      `<g fill="${FOREGROUND}" font-size="14" font-family="${FONT}">`,
      ...body.flat().filter((line) => line !== ""),
      "</g>",
      "</svg>",
      "",
    ].join("\n");
  }

  #line(row: number): NonNullable<ReturnType<Terminal["buffer"]["active"]["getLine"]>> {
    const line = this.#terminal.buffer.active.getLine(row);
    if (line === undefined) throw new Error(`The screen has no row ${row}`);
    return line;
  }

  /** Groups neighbouring cells of the same style. Block characters are separate: they are drawn, because fonts leave gaps. */
  #runs(row: number): Run[] {
    const line = this.#line(row);
    const runs: Run[] = [];
    for (let column = 0; column < this.#terminal.cols; column += 1) {
      const cell = line.getCell(column);
      const text = cell?.getChars() || " ";
      if (cell === undefined || cell.getWidth() === 0) continue;
      const style = styleOf(cell);
      const last = runs.at(-1);
      const isBlock = LOWER_BLOCKS.includes(text) || text === LIGHT_SHADE;
      if (last !== undefined && last.style === style && (isBlock ? last.text.startsWith(text) : !last.isBlock)) {
        last.text += text;
      } else {
        runs.push({ column, text, style, isBlock });
      }
    }
    return runs;
  }
}

interface Run {
  readonly column: number;
  text: string;
  readonly style: string;
  readonly isBlock: boolean;
}

function styleOf(cell: Cell): string {
  const colour = cell.isFgPalette() ? COLOURS[cell.getFgColor() % COLOURS.length] : undefined;
  const fill = cell.isDim() ? DIM : colour;
  return `${fill === undefined ? "" : ` fill="${fill}"`}${cell.isBold() ? ' font-weight="bold"' : ""}`;
}

function shape({ column, text, style, isBlock }: Run, row: number): string {
  const top = PADDING + row * CELL.height;
  const left = (cells: number): string => (PADDING + cells * CELL.width).toFixed(1);
  if (!isBlock) {
    const trimmed = text.trim();
    if (trimmed === "") return "";
    const x = left(column + text.length - text.trimStart().length);
    const length = (trimmed.length * CELL.width).toFixed(1);
    return `<text x="${x}" y="${top + BASELINE}" textLength="${length}"${style}>${escaped(trimmed)}</text>`;
  }
  const eighths = text.startsWith(LIGHT_SHADE) ? 8 : LOWER_BLOCKS.indexOf(text[0] ?? "") + 1;
  const opacity = text.startsWith(LIGHT_SHADE) ? ' fill-opacity="0.35"' : "";
  // The maximum height is that of letters.
  const height = ((CELL.height - 4) * eighths) / 8;
  const width = (text.length * CELL.width).toFixed(1);
  const y = top + 2 + CELL.height - 4 - height;
  return `<rect x="${left(column)}" y="${y}" width="${width}" height="${height}"${style}${opacity}/>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
