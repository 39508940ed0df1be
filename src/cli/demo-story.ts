// The story that the demo plays: what is done, and who is expected to reach whom then.
// Expectations are written here by hand, from the manifests in demo/; nothing of the
// policy engine is asked for them.

/** Somebody tries to connect; `to` is `namespace/pod:port`. */
export type Attempt = { readonly from: string; readonly to: string; readonly want: 'allowed' | 'denied' }

export type Step = {
  readonly title: string
  /** Arguments of `axoneme`, as a user would type them; `FILE` of demo/ as `demo/FILE`. */
  readonly command: readonly string[]
  readonly attempts: readonly Attempt[]
  /** What to notice in the flows of the attempts, which are then shown: those that are denied or only recorded. */
  readonly remark?: string
  /** Asked in the end, as `command` is. */
  readonly question?: readonly string[]
}

const frontend = 'shop/frontend'
const cart = 'shop/cart'
const database = 'shop/database'
const visitor = 'other/visitor'

const tries = (allowed: readonly [string, string][], denied: readonly [string, string][]): Attempt[] => [
  ...allowed.map(([from, to]) => ({ from, to, want: 'allowed' as const })),
  ...denied.map(([from, to]) => ({ from, to, want: 'denied' as const })),
]

const toCart = `${cart}:8080`
const toDatabase = `${database}:5432`

export const STORY: readonly Step[] = [
  {
    title: 'A shop with three pods, and a visitor in another namespace. No policy yet: everybody reaches everybody.',
    command: ['apply', '-f', 'demo/shop.yaml'],
    attempts: tries(
      [
        [frontend, toCart],
        [cart, toDatabase],
        [frontend, toDatabase],
        [visitor, toDatabase],
      ],
      [],
    ),
  },
  {
    title: 'A default deny for the shop. The visitor is out, and so is everybody else.',
    command: ['apply', '-f', 'demo/default-deny.yaml'],
    attempts: tries(
      [],
      [
        [frontend, toCart],
        [cart, toDatabase],
        [frontend, toDatabase],
        [visitor, toDatabase],
      ],
    ),
    remark: 'Every denial names the policy that made it, down to the line:',
  },
  {
    title: 'What the shop needs: frontend to cart (by the name of a port), cart to database.',
    command: ['apply', '-f', 'demo/allow-shop.yaml'],
    attempts: tries(
      [
        [frontend, toCart],
        [cart, toDatabase],
      ],
      [
        [frontend, toDatabase],
        [visitor, toCart],
        [visitor, toDatabase],
      ],
    ),
  },
  {
    title: 'The visitor gets the label of a frontend, but stays in his own namespace: identity is more than one label.',
    command: ['apply', '-f', 'demo/relabelled-visitor.yaml'],
    attempts: tries([[frontend, toCart]], [[visitor, toCart]]),
  },
  {
    title: 'A CiliumNetworkPolicy closes the cart to everybody. It is tried out first: what it would deny passes.',
    command: ['apply', '-f', 'demo/tried-out.yaml'],
    attempts: tries([[frontend, toCart]], []),
    remark: 'It passed, and is recorded with the line that would have denied it:',
  },
  {
    title: 'The same policy in force: a denial wins over what another policy allows.',
    command: ['apply', '-f', 'demo/in-force.yaml'],
    attempts: tries([[cart, toDatabase]], [[frontend, toCart]]),
    question: ['policy', 'explain', frontend, cart, '8080/TCP'],
  },
  {
    title: 'The policies of the shop are deleted: the default deny holds.',
    command: ['delete', '-f', 'demo/in-force.yaml', '-f', 'demo/allow-shop.yaml'],
    attempts: tries(
      [],
      [
        [frontend, toCart],
        [cart, toDatabase],
      ],
    ),
  },
]

/** Ports that the attempts name, for one measurement of all pairs. */
export const STORY_PORTS = '8080/TCP,5432/TCP'
