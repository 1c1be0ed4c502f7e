// What the page does in the browser: its events call these functions.

window.faceinpaint = {
    // On a slow line, from a press until what is painted on an editor has arrived.
    sending(editor) {
        if (editor === 'photo') {
            this.wasUnread = this.isUnread()
            this.markUnread(false)
        }
        const page = document.body.dataset
        page.sending = 'Sending what you painted …'
        clearTimeout(this.unsent)
        this.unsent = setTimeout(() => {
            page.sending = 'This takes a while. Are you still connected?'
        }, 20000)
    },

    sent(painting) {
        clearTimeout(this.unsent)
        delete document.body.dataset.sending
        return painting
    },

    // The answer to a press replaces what an editor shows: what is pressed or painted meanwhile would be lost.
    lock(work) {
        this.pressed = document.activeElement
        this.setInert(work, true)
        clearTimeout(this.locked[work])
        this.locked[work] = setTimeout(() => this.setInert(work, false), 60000)
    },

    // The editor takes a moment to show what it was sent.
    unlock(work) {
        clearTimeout(this.locked[work])
        this.locked[work] = setTimeout(() => {
            this.setInert(work, false)
            if (document.activeElement === document.body) this.pressed.focus({preventScroll: true})
        }, 300)
    },

    // Another photo has no part in what was pressed for the last one.
    unlockAll() {
        Object.keys(this.locked).forEach(work => this.unlock(work))
    },

    locked: {},

    setInert(work, inert) {
        document.querySelectorAll(`.${work}`).forEach(part => { part.inert = inert })
    },

    // Gradio's own `scroll_to_output` stops at the component that shows the progress.
    scrollToResult() {
        document.querySelector('#result').scrollIntoView({block: 'nearest'})
    },

    tellStroke() {
        document.querySelector('#stroke').click()
    },

    // Whether there are strokes on the photo that the server has not seen.
    markUnread(unread) {
        if (this.isUnread() !== unread) document.querySelector('#unread input').click()
    },

    isUnread() {
        return document.querySelector('#unread input').checked
    },

    // The server has seen them, but not kept them.
    keepUnread() {
        if (this.wasUnread) this.markUnread(true)
    },

    // Gradio's own button hands out the file that it had before it was pressed; here that is made first.
    download(button) {
        setTimeout(() => document.querySelector(`#${button}`).click(), 100)
    },

    link(query) {
        return `${location.origin}${location.pathname}?${query}`
    },
}

// The editors' own events would have them send all their pictures, the background too, at every change.
function tellOf(editor) {
    // The stroke's last point is drawn after its end.
    setTimeout(() => {
        if (editor.id === 'layout') faceinpaint.tellStroke()
        else faceinpaint.markUnread(true)
    }, 100)
}

document.addEventListener('pointerdown', event => {
    const editor = event.target.closest('#photo, #layout')
    if (!editor || !event.target.closest('canvas, [aria-label=Undo], [aria-label=Redo]')) return
    document.addEventListener('pointerup', () => tellOf(editor), {once: true})
})

// A click without a pointer is the keyboard's.
document.addEventListener('click', event => {
    const editor = event.target.closest('#photo, #layout')
    if (editor && event.detail === 0 && event.target.closest('[aria-label=Undo], [aria-label=Redo]')) tellOf(editor)
})

// The editors would keep the wheel to themselves, and with it the page from scrolling; with Ctrl they zoom.
document.addEventListener('wheel', event => {
    if (!event.ctrlKey && event.target.closest('#photo canvas, #layout canvas')) event.stopPropagation()
}, {capture: true})
