/** IP addresses in text form, without a resolver. */

const OCTET = /^(?:0|[1-9]\d{0,2})$/;
const GROUP = /^[0-9a-f]{1,4}$/i;

/** 4 or 6 if `host` is an IP address of that family; 0 if it is a name. */
export function ipFamily(host: string): 0 | 4 | 6 {
  if (parseIpv4(host) !== null) return 4;
  return parseIpv6(host) === null ? 0 : 6;
}

/** The four octets of an address in dotted decimal, or null if it is invalid. Rejects leading zeros, like inet_pton. */
export function parseIpv4(host: string): number[] | null {
  const octets = host.split(".").map((octet) => (OCTET.test(octet) ? Number(octet) : Number.NaN));
  return octets.length === 4 && octets.every((octet) => octet <= 255) ? octets : null;
}

/** The eight 16-bit groups of an IPv6 address in any spelling, or null if it is invalid. Ignores a zone (`%eth0`). */
export function parseIpv6(host: string): number[] | null {
  const halves = host.replace(/%.+$/, "").split("::");
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] as string, halves.length === 1);
  const tail = halves[1] === undefined ? [] : parseGroups(halves[1], true);
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1) return missing === 0 ? head : null;
  return missing < 1 ? null : [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** The IPv4 address in an IPv4-mapped IPv6 one (`::ffff:192.0.2.1`), else `host` itself. */
export function unmapIpv4(host: string): string {
  const groups = host.includes(":") ? parseIpv6(host) : null;
  if (groups === null || groups[5] !== 0xffff || groups.slice(0, 5).some((group) => group !== 0)) return host;
  const [high, low] = groups.slice(6) as [number, number];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** Whether it is an address of this machine that no network carries: 127.0.0.0/8 or ::1. */
export function isLoopback(host: string): boolean {
  const unmapped = unmapIpv4(host);
  if (parseIpv4(unmapped)?.[0] === 127) return true;
  const groups = parseIpv6(unmapped);
  return groups !== null && groups[7] === 1 && groups.slice(0, 7).every((group) => group === 0);
}

/**
 * An IPv4 address, or the /64 network of an IPv6 one, because a client usually has all addresses of its /64. IPv4 clients
 * of a dual-stack listener (`::ffff:1.2.3.4`) count as IPv4.
 */
export function networkOf(host: string): string {
  if (!host.includes(":")) return host;
  const unmapped = unmapIpv4(host);
  const groups = parseIpv6(unmapped);
  if (groups === null) return unmapped;
  const network = groups.slice(0, 4).map((group) => group.toString(16));
  return `${network.join(":")}::/64`;
}

/** @param mayEndInIpv4 the last two groups may be an IPv4 address in dotted decimal */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    const ipv4 = mayEndInIpv4 && index === parts.length - 1 ? parseIpv4(part) : null;
    if (ipv4 !== null) {
      const [a, b, c, d] = ipv4 as [number, number, number, number];
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (GROUP.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups;
}
