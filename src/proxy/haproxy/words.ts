// Words of HAProxy's configuration (its manual, 2.2).

/** As one word. */
export const quoted = (text: string): string => `"${text.replace(/[\\"$]/g, '\\$&')}"`

/** Nothing in it means anything. */
export const strong = (text: string): string => `'${text}'`
