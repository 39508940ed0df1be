// ICMP message types by the names that Cilium's policies have for them (CamelCase of
// IANA's registries "ICMP Type Numbers" and "ICMPv6 type Numbers").

export const ICMP_FAMILIES = ['IPv4', 'IPv6'] as const
export type IcmpFamily = (typeof ICMP_FAMILIES)[number]

const TYPES: Readonly<Record<IcmpFamily, Readonly<Record<string, number>>>> = {
  IPv4: {
    EchoReply: 0,
    DestinationUnreachable: 3,
    Redirect: 5,
    Echo: 8,
    EchoRequest: 8,
    RouterAdvertisement: 9,
    RouterSelection: 10,
    TimeExceeded: 11,
    ParameterProblem: 12,
    Timestamp: 13,
    TimestampReply: 14,
    Photuris: 40,
    ExtendedEchoRequest: 42,
    ExtendedEchoReply: 43,
  },
  IPv6: {
    DestinationUnreachable: 1,
    PacketTooBig: 2,
    TimeExceeded: 3,
    ParameterProblem: 4,
    EchoRequest: 128,
    EchoReply: 129,
    MulticastListenerQuery: 130,
    MulticastListenerReport: 131,
    MulticastListenerDone: 132,
    RouterSolicitation: 133,
    RouterAdvertisement: 134,
    NeighborSolicitation: 135,
    NeighborAdvertisement: 136,
    RedirectMessage: 137,
    RouterRenumbering: 138,
    ICMPNodeInformationQuery: 139,
    ICMPNodeInformationResponse: 140,
    InverseNeighborDiscoverySolicitation: 141,
    InverseNeighborDiscoveryAdvertisement: 142,
    HomeAgentAddressDiscoveryRequest: 144,
    HomeAgentAddressDiscoveryReply: 145,
    MobilePrefixSolicitation: 146,
    MobilePrefixAdvertisement: 147,
    DuplicateAddressRequestCodeSuffix: 157,
    DuplicateAddressConfirmationCodeSuffix: 158,
    ExtendedEchoRequest: 160,
    ExtendedEchoReply: 161,
  },
}

/** Number of a type that is written as a number, as its digits or by name; undefined when there is none. */
export function icmpType(family: IcmpFamily, written: number | string): number | undefined {
  if (typeof written === 'string' && Object.hasOwn(TYPES[family], written)) return TYPES[family][written]
  const number =
    typeof written === 'number' ? written : /^(0|[1-9]\d{0,2})$/.test(written) ? Number(written) : Number.NaN
  return Number.isInteger(number) && number >= 0 && number <= 255 ? number : undefined
}

/** Names of a family's types. */
export function icmpTypeNames(family: IcmpFamily): string[] {
  return Object.keys(TYPES[family])
}
