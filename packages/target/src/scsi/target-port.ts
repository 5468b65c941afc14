/** The one port that the target has: every connection of it is an equal way to the units. */

export const RELATIVE_TARGET_PORT = 1
/** The group of that port; asymmetric access is said to be supported for hosts that ask for it. */
export const TARGET_PORT_GROUP = 1
