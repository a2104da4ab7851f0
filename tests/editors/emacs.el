;;; emacs.el --- Kapell's language server in Emacs, in batch -*- lexical-binding: t -*-

;; Run by run.sh: emacs -Q --batch -l emacs.el.  KAPELL is the program; claims are made by other
;; processes.  The settings are those of editors/README.md.

;;; Code:

(require 'eglot)
(require 'cl-lib)

(defvar passed 0)
(defvar failed 0)
(defvar kapell (getenv "KAPELL"))
(defvar repo (file-name-as-directory (make-temp-file "kapell-emacs-" t)))

(defmacro check (name &rest body)
  "Run BODY as the test NAME."
  (declare (indent 1))
  `(condition-case err
       (progn ,@body
              (cl-incf passed)
              (princ (format "ok      emacs: %s\n" ,name)))
     (error (cl-incf failed)
            (princ (format "FAILED  emacs: %s: %S\n" ,name err)))))

(defun until (what condition)
  "Wait until CONDITION gives something, and give that; else fail with WHAT."
  (let ((end (+ (float-time) 20)) value)
    (while (not (or (setq value (funcall condition)) (> (float-time) end)))
      (accept-process-output nil 0.01))
    (or value (error "Waited in vain for %s" what))))

(defun run (&rest command)
  "Run COMMAND in the repository."
  (let ((default-directory repo))
    (with-temp-buffer
      (unless (eq 0 (apply #'call-process (car command) nil t nil (cdr command)))
        (error "%s: %s" command (buffer-string)))
      (buffer-string))))

(defun notes ()
  "The texts of Flymake's diagnostics in this buffer."
  (mapcar #'flymake-diagnostic-text (flymake-diagnostics)))

;; Beginning of what editors/README.md says.
(define-derived-mode kapell-plan-mode js-json-mode "Plan"
  "A plan of Kapell in JSON.")
(add-to-list 'auto-mode-alist '("\\(?:/\\|\\.\\)plan\\.json\\'" . kapell-plan-mode))
(add-to-list 'eglot-server-programs `((prog-mode text-mode conf-mode) . (,kapell "lsp")) t)
(add-to-list 'eglot-server-programs `(kapell-plan-mode . (,kapell "lsp")))
(defun kapell-take-over (reason)
  "Take the file of this buffer over from its holder, who is told the REASON."
  (interactive "sWhy? ")
  (let* ((server (eglot-current-server))
         (uri (funcall (if (fboundp 'eglot-path-to-uri) 'eglot-path-to-uri 'eglot--path-to-uri)
                       buffer-file-name))
         (owner (jsonrpc-request server :kapell/owner (list :uri uri))))
    (jsonrpc-request server :workspace/executeCommand
                     (list :command "kapell.claim-files"
                           :arguments (vector (list :paths (vector (plist-get owner :pattern))
                                                    :take_over t :reason reason)
                                              (list :uri uri))))))
;; End of it.

(setq eglot-sync-connect t eglot-autoshutdown nil flymake-no-changes-timeout 0.05
      make-backup-files nil create-lockfiles nil)

(unwind-protect
    (progn
      (with-temp-file (expand-file-name "a.txt" repo) (insert "one\ntwo\n"))
      (run "git" "init" "--quiet" "--initial-branch=main")
      (run "git" "add" "--all")
      (run "git" "-c" "user.name=test" "-c" "user.email=test@localhost" "commit" "--quiet" "--message" "first")
      (find-file (expand-file-name "a.txt" repo))
      (check "the server starts"
        (call-interactively #'eglot)
        (until "the server" #'eglot-current-server))
      (check "a claim of another process shows, and goes"
        (run kapell "claim-files" "a.txt" "--holder" "ada" "--reason" "new schema")
        (let ((text (until "the diagnostic"
                           (lambda () (cl-find-if (lambda (text) (string-match-p "ada" text)) (notes))))))
          (unless (string-match-p "a.txt is held by ada" text) (error "It says %s" text)))
        (run kapell "release-files" "--all" "--holder" "ada")
        (until "no diagnostic" (lambda () (null (notes)))))
      (check "unsaved changes hold the file, saving lets go"
        (goto-char (point-max))
        (insert "three\n")
        (run-hooks 'post-command-hook)
        (eglot--signal-textDocument/didChange)
        (until "the claim" (lambda () (string-match-p "a.txt" (run kapell "status" "--scope" "claims" "--json"))))
        (save-buffer)
        (until "no claim" (lambda () (not (string-match-p "a.txt" (run kapell "status" "--scope" "claims" "--json"))))))
      (check "a file is taken over with a reason"
        (run kapell "claim-files" "a.txt" "--holder" "ada")
        (until "the diagnostic" #'notes)
        (kapell-take-over "the release is today")
        (until "no diagnostic" (lambda () (null (notes))))
        (unless (string-match-p "the release is today" (run kapell "status" "--scope" "claims" "--json"))
          (error "It is not ours")))
      (check "a language keeps the server of its own"
        (require 'python)
        (when (equal (cdr (eglot--lookup-mode 'python-mode)) (list kapell "lsp")) (error "It would be Kapell")))
      (check "a plan is Kapell's"
        (with-temp-file (expand-file-name "my.plan.json" repo)
          (insert "{\"tasks\": [{\"id\": 1, \"task\": \"x\", \"fils\": [\"a\"]}]}\n"))
        (find-file (expand-file-name "my.plan.json" repo))
        (unless (eq major-mode 'kapell-plan-mode) (error "Its mode is %s" major-mode))
        (unless (equal (cdr (eglot--lookup-mode major-mode)) (list kapell "lsp")) (error "It is another's"))
        ;; In batch nobody looks at the buffer, and Flymake waits for that.
        (flymake-start)
        (until "the problem" (lambda () (cl-find-if (lambda (text) (string-match-p "fils" text)) (notes))))
        (set-buffer (get-file-buffer (expand-file-name "a.txt" repo))))
      (check "commands of the contract are carried out"
        (let ((result (jsonrpc-request (eglot-current-server) :workspace/executeCommand
                                       '(:command "kapell.claim-files" :arguments [(:paths ["a.txt"])]))))
          (unless (eq t (plist-get result :granted)) (error "It answers %S" result))))
      (check "a refusal is an error with its sentence"
        (condition-case err
            (progn (jsonrpc-request (eglot-current-server) :workspace/executeCommand
                                    '(:command "kapell.control" :arguments [(:action "land" :target "nope")]))
                   (error "It was not refused"))
          (jsonrpc-error
           (unless (string-match-p "no plan nope" (format "%S" err)) (error "It says %S" err))))))
  (ignore-errors (eglot-shutdown-all))
  (delete-directory repo t))

(princ (format "%d passed, %d failed, 0 skipped\n" passed failed))
(kill-emacs (if (> failed 0) 1 0))
;;; emacs.el ends here
