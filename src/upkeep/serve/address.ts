import { lookup } from 'node:dns/promises';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { MergeError } from '../../base/errors.ts';

/** Where a server listens. */
export interface ListenAddress {
  /** A number, as a name may lead elsewhere a moment later. */
  readonly ip: string;
  /** As it was written, without brackets. */
  readonly host: string;
  /** 0 is any that is free. */
  readonly port: number;
  /** Whether only programs of this machine reach it. */
  readonly isLoopback: boolean;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');
LOOPBACK.addSubnet('::ffff:127.0.0.0', 104, 'ipv6');

const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
const DEFAULT_HOST = '127.0.0.1';
const FORMS = 'Write it as 127.0.0.1:8000, localhost:8000, [::1]:8000, or 8000 for 127.0.0.1:8000; port 0 is any that is free.';

/**
 * @param text `ADDRESS:PORT`, or a port alone
 * @throws MergeError E_OPTION for anything else, and a name that leads to no address
 */
export async function listenAddress(text: string): Promise<ListenAddress> {
  const match = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? Number.NaN);
  const [bracketed, plain] = [match?.[1], match?.[2]];
  const host = bracketed ?? plain ?? DEFAULT_HOST;
  const isName = bracketed === undefined && /^[a-z\d_]([a-z\d._-]*[a-z\d])?\.?$/i.test(host);
  if (!(port <= 65_535) || !(isName || isIPv6(host))) {
    throw new MergeError('E_OPTION', `'${text}' is no address to listen at`, { help: FORMS });
  }
  const ip = isIP(host) > 0 ? host : await resolved(host, text);
  return { ip, host, port, isLoopback: LOOPBACK.check(ip.replace(/%.*$/, ''), isIPv6(ip) ? 'ipv6' : 'ipv4') };
}

async function resolved(host: string, text: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new MergeError('E_OPTION', `'${text}' is no address to listen at: the name ${host} leads to none`, { help: FORMS, cause });
  }
}

/** A URL that reaches it; of all addresses of a machine, by the name of that. */
export function urlOf({ ip, host }: Pick<ListenAddress, 'ip' | 'host'>, port: number): string {
  const reached = ANY.has(ip) ? hostname() : host.replace(/%.*$/, '');
  return `http://${isIPv6(reached) ? `[${reached}]` : reached}:${port}/`;
}

/**
 * Names by which requests may call the server, whatever the port: a tunnel may have another one. A page of another
 * site that had its own name lead here would call it by that, and is refused.
 */
export function ownHosts({ ip, host, isLoopback }: Pick<ListenAddress, 'ip' | 'host' | 'isLoopback'>): ReadonlySet<string> {
  const own = new Set(['localhost', '127.0.0.1', '::1', ip, host]);
  if (!isLoopback) {
    const name = hostname();
    own.add(name).add(name.replace(/\..*$/, ''));
  }
  if (ANY.has(ip)) for (const all of Object.values(networkInterfaces())) for (const { address } of all ?? []) own.add(address);
  return new Set([...own].map(comparable));
}

/** The host of a Host header, for looking it up in {@link ownHosts}; null where it is none. */
export function hostOf(header: string): string | null {
  const match = /^(?:\[([\da-f:.]+)\]|([a-z\d._-]+))(?::\d{1,5})?$/i.exec(header);
  const host = match?.[1] ?? match?.[2];
  return host === undefined ? null : comparable(host);
}

function comparable(host: string): string {
  return host.toLowerCase().replace(/%.*$/, '').replace(/\.$/, '');
}
